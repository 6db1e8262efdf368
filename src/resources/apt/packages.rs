//! What has to be done for one package: what is installed, what the repositories offer, which version is asked for.

use super::*;

impl Apt {
    /// All packages a pattern stands for.
    pub(super) fn expand(&self, world: &View, spec: &str) -> Result<Vec<Wanted>, Stop> {
        let entry = wanted(spec);
        let Some(at) = entry.name.find(['*', '?', '[']) else { return Ok(vec![entry]) };
        let argv = ["apt-cache", "pkgnames", &entry.name[..at]].map(str::to_owned);
        let names = world.read(argv)?.text();
        let mut found: Vec<Wanted> = names
            .lines()
            .filter(|n| matches(&entry.name, n))
            .map(|n| Wanted { name: n.to_owned(), ..entry.clone() })
            .collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// What must be done about one package; `None`: nothing. `Err(Ok(verdict))` fails the task.
    pub(super) fn package(
        &self,
        world: &View,
        entry: &Wanted,
        lists_change: bool,
    ) -> Result<Result<Option<Step>, Verdict>, Stop> {
        let name = &entry.name;
        let now = world.package(name)?;
        let step = |argument: String, before: Option<String>, after: Option<String>| {
            Ok(Ok(Some(Step { name: name.clone(), argument, before, after })))
        };
        if self.state == State::Absent {
            if now.installed.is_none() && !(self.purge && now.residual_config) {
                return Ok(Ok(None));
            }
            return step(name.clone(), now.installed.or(Some("configuration files".to_owned())), None);
        }
        if now.installed.is_none() && self.only_upgrade {
            return Ok(Ok(None));
        }
        let satisfied = match (&now.installed, &entry.version) {
            (None, _) => false,
            (Some(_), None) => self.state != State::Latest,
            (Some(installed), Some(version)) if entry.at_least => compare(installed, version).is_ge(),
            (Some(installed), Some(version)) => matches(version, installed),
        };
        if satisfied {
            return Ok(Ok(None));
        }
        if let Some(version) = &entry.version {
            if entry.at_least || version.contains(['*', '?', '[']) || !lists_change {
                let madison = world.read(["apt-cache", "madison", name])?.text();
                let mut versions = madison.lines().filter_map(|l| l.split('|').nth(1)).map(str::trim);
                let fits = |v: &&str| {
                    if entry.at_least { compare(v, version).is_ge() } else { matches(version, v) }
                };
                match versions.find(fits) {
                    Some(found) => {
                        return step(format!("{name}={found}"), now.installed, Some(found.to_owned()));
                    }
                    None if lists_change => {}
                    None => {
                        let sign = if entry.at_least { ">=" } else { "=" };
                        return Ok(Err(kit::failed(format!(
                            "no available installation candidate for {name}{sign}{version}"
                        ))));
                    }
                }
            }
            return step(format!("{name}={version}"), now.installed, Some(version.clone()));
        }
        let argument = match &entry.release {
            Some(release) => format!("{name}/{release}"),
            None => name.clone(),
        };
        let candidate = match world.ask(Query::Candidate { name: name.clone() })? {
            Answer::Package(state) => state.candidate,
            other => unreachable!("a package was answered with {other:?}"),
        };
        if self.state == State::Latest && now.installed.is_some() && (candidate.is_none() || candidate == now.installed)
        {
            return Ok(Ok(None));
        }
        if candidate.is_none() && !lists_change {
            // Perhaps others provide it.
            let providers = self.providers(world, name)?;
            if providers.is_empty() {
                return Ok(Err(kit::failed(format!("No package matching '{name}' is available"))));
            }
            world.want(providers.iter().map(|p| Query::Package { name: p.clone() }));
            for provider in &providers {
                if world.package(provider)?.installed.is_some() {
                    return Ok(Ok(None));
                }
            }
        }
        step(argument, now.installed, candidate)
    }

    /// Packages that provide a virtual one.
    pub(super) fn providers(&self, world: &View, name: &str) -> Result<Vec<String>, Stop> {
        let text = world.read(["apt-cache", "showpkg", name])?.text();
        let mut names: Vec<String> = text
            .lines()
            .skip_while(|l| !l.starts_with("Reverse Provides"))
            .skip(1)
            .filter_map(|l| l.split_whitespace().next().map(str::to_owned))
            .collect();
        names.dedup();
        Ok(names)
    }

    pub(super) fn deb(&self, world: &View, path: &str) -> Result<Result<Option<Step>, Verdict>, Stop> {
        if let Some(sent) = &self.sent {
            return self.file(world, path, sent.name.clone(), sent.version.clone());
        }
        let argv = ["dpkg-deb", "-f", path, "Package", "Version", "Architecture"].map(str::to_owned).to_vec();
        world.want([Query::Stat { path: path.to_owned(), follow: true }, Query::Read { argv: argv.clone() }]);
        if world.stat(path, true)?.is_none() {
            return Ok(Err(kit::failed(format!("Unable to install package: E:Could not open file {path}"))));
        }
        let output = world.read(argv)?;
        let text = output.text();
        let get = |key: &str| {
            text.lines().find_map(|l| l.strip_prefix(key).and_then(|l| l.strip_prefix(": "))).map(str::to_owned)
        };
        let (Some(name), Some(version)) = (get("Package"), get("Version")) else {
            // The file is only predicted, or no package.
            return Err(if world.touched_below(path) {
                Stop::Unknown(Unknown::after_step(path))
            } else {
                Stop::Failed(format!("Unable to install package: {}", output.error_text().trim()))
            });
        };
        self.file(world, path, name, version)
    }

    /// What is to be done about a package of which a file is at hand.
    fn file(
        &self,
        world: &View,
        path: &str,
        name: String,
        version: String,
    ) -> Result<Result<Option<Step>, Verdict>, Stop> {
        let now = world.package(&name)?;
        if let Some(installed) = &now.installed {
            let order = compare(installed, &version);
            if order.is_eq() || order.is_gt() && !self.allow_downgrade {
                if order.is_gt() {
                    return Ok(Err(kit::failed("A later version is already installed")));
                }
                return Ok(Ok(None));
            }
        }
        Ok(Ok(Some(Step { name, argument: path.to_owned(), before: now.installed, after: Some(version) })))
    }

    pub(super) fn package_effects(&self, step: &Step) -> Vec<Effect> {
        let installed = match self.state {
            State::Absent => None,
            _ => Some(step.after.clone().unwrap_or_else(|| "the newest".to_owned())),
        };
        let state = PackageState {
            candidate: installed.clone(),
            residual_config: self.state == State::Absent && !self.purge,
            held: false,
            installed,
        };
        let name = step.name.clone();
        vec![
            kit::effect(Query::Package { name: name.clone() }, Answer::Package(state.clone())),
            kit::effect(Query::Candidate { name }, Answer::Package(state)),
        ]
    }

    /// The files of a package that is removed; its configuration stays, unless it is purged.
    pub(super) fn files_that_go(&self, world: &View, package: &str) -> Result<Vec<Effect>, Stop> {
        let list = world.read(["dpkg", "-L", package]);
        let kept = world.read(["dpkg-query", "-W", "-f", "${Conffiles}\\n", package]);
        let (list, kept) = (list?.text(), kept?.text());
        let kept: Vec<&str> = kept.lines().filter_map(|l| l.split_whitespace().next()).collect();
        let paths: Vec<&str> = list.lines().filter(|l| l.starts_with('/')).collect();
        // A folder is listed right before what is in it; it may hold what others put there.
        let is_folder = |i: usize| paths.get(i + 1).is_some_and(|next| next.starts_with(&format!("{}/", paths[i])));
        let files: Vec<&str> = paths
            .iter()
            .enumerate()
            .filter(|(i, path)| !is_folder(*i) && (self.purge || !kept.contains(path)))
            .map(|(_, path)| *path)
            .collect();
        world.want(files.iter().map(|path| Query::Stat { path: (*path).to_owned(), follow: false }));
        let mut effects = vec![];
        let mut waits = false;
        for path in files {
            let stays = match world.stat(path, false) {
                Ok(Some(stat)) if stat.kind == crate::world::FileKind::Directory => {
                    world.tree(path, Some(1)).map(|tree| !tree.is_empty())
                }
                Ok(None) => Ok(true),
                other => other.map(|_| false),
            };
            match stays {
                Ok(true) => {}
                Ok(false) => effects.extend(crate::resources::common::attributes::gone_effects(path)),
                Err(Stop::Needs) => waits = true,
                Err(stop) => return Err(stop),
            }
        }
        if waits { Err(Stop::Needs) } else { Ok(effects) }
    }
}
