//! Playbooks made from pieces by a number: the same number gives the same playbook.
//!
//! Each piece is a few tasks that look at each other: what an earlier one makes, a later one stats, lists, reads, links to or removes. All
//! lies below `{{ sandbox }}`, and all is idempotent, so that a second plan must find nothing to do.

use std::path::Path;

/// Small, seeded, and the same everywhere.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 33) % sides as u64).expect("fewer than sides")
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }
}

/// One piece: tasks and handlers, as YAML with `N` for the piece's own number, `W` for a word and `M` for a mode.
struct Piece {
    tasks: &'static str,
    handlers: &'static str,
}

const fn piece(tasks: &'static str) -> Piece {
    Piece { tasks, handlers: "" }
}

/// A playbook of some pieces, and one of the first half of them.
pub struct Generated {
    pub whole: String,
    pub half: String,
}

const WORDS: [&str; 6] = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta"];
const MODES: [&str; 4] = ["0644", "0600", "0640", "0755"];

pub fn playbook(seed: u64) -> Generated {
    let mut dice = Dice::new(seed);
    let count = 4 + dice.roll(3);
    let mut tasks = vec![];
    let mut handlers = String::new();
    for number in 0..count {
        // Every piece is in some playbook whatever the dice say.
        let index =
            if number == 0 { usize::try_from(seed).expect("small") % PIECES.len() } else { dice.roll(PIECES.len()) };
        let (word, mode) = (dice.pick(&WORDS), dice.pick(&MODES));
        let fill = |text: &str| text.replace("@N", &number.to_string()).replace("@W", word).replace("@M", mode);
        tasks.push(fill(PIECES[index].tasks));
        handlers.push_str(&fill(PIECES[index].handlers));
    }
    let play = |tasks: &[String]| {
        let mut text =
            String::from("- hosts: all\n  gather_facts: false\n  vars:\n    words: [one, two, three]\n  tasks:\n");
        text.push_str(&tasks.concat());
        if !handlers.is_empty() {
            text.push_str("  handlers:\n");
            text.push_str(&handlers);
        }
        text
    };
    Generated { half: play(&tasks[..count / 2]), whole: play(&tasks) }
}

/// Files the pieces refer to.
pub fn write_files(repo: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(repo.join("templates"))?;
    std::fs::create_dir_all(repo.join("files/tree/inner"))?;
    std::fs::write(
        repo.join("templates/list.j2"),
        "# {{ title }}\n{% for word in words %}\n{{ loop.index }} {{ word }}\n{% endfor %}\n",
    )?;
    std::fs::write(
        repo.join("templates/found.j2"),
        "size={{ seen.stat.size | default('none') }} there={{ seen.stat.exists }}\n",
    )?;
    std::fs::write(repo.join("files/tree/a.txt"), "a\n")?;
    std::fs::write(repo.join("files/tree/inner/b.txt"), "b\n")?;
    std::fs::write(
        repo.join("more.yml"),
        "- name: Included file\n  copy: {content: \"included {{ which }}\\n\", dest: \"{{ sandbox }}/included-{{ which }}\"}\n",
    )?;
    let archive = std::fs::File::create(repo.join("files/pack.tar.gz"))?;
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(archive, flate2::Compression::fast()));
    for (name, text) in [("pack/bin/tool", "#!/bin/sh\necho tool\n"), ("pack/README", "read me\n")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o755);
        header.set_mtime(1_700_000_000);
        header.set_cksum();
        tar.append_data(&mut header, name, text.as_bytes())?;
    }
    tar.into_inner()?.finish()?;
    Ok(())
}

const PIECES: &[Piece] = &[
    piece(
        r#"
    - name: Folder @N
      file: {path: "{{ sandbox }}/d@N/@W", state: directory, mode: "0755"}
    - name: File in folder @N
      copy: {content: "@W\n", dest: "{{ sandbox }}/d@N/@W/file", mode: "@M"}
    - name: Look at file @N
      stat: {path: "{{ sandbox }}/d@N/@W/file"}
      register: seen
    - name: Only with the file @N
      copy: {content: "it is there: {{ seen.stat.checksum }} {{ seen.stat.mode }}\n", dest: "{{ sandbox }}/d@N/seen"}
      when: seen.stat.exists and seen.stat.isreg
    - name: Never, since it is there @N
      fail: {msg: "not there"}
      when: not seen.stat.exists
"#,
    ),
    piece(
        r#"
    - name: Folders @N
      file: {path: "{{ sandbox }}/l@N/{{ item }}", state: directory}
      loop: "{{ words }}"
    - name: Files @N
      copy: {content: "{{ item }} @W\n", dest: "{{ sandbox }}/l@N/{{ item }}/conf", mode: "@M"}
      loop: "{{ words }}"
      register: made
    - name: What changed @N
      copy: {content: "{{ made.results | map(attribute='item') | join(',') }}\n", dest: "{{ sandbox }}/l@N/summary"}
    - name: Find them @N
      find: {paths: "{{ sandbox }}/l@N", recurse: true, patterns: conf}
      register: confs
    - name: As many as there are @N
      copy: {content: "{{ confs.files | map(attribute='path') | map('basename') | list | length }}\n", dest: "{{ sandbox }}/l@N/count"}
"#,
    ),
    Piece {
        tasks: r#"
    - name: List @N
      template: {src: list.j2, dest: "{{ sandbox }}/list@N", mode: "@M"}
      vars: {title: "@W"}
      notify: Reload @N
    - name: Second list @N
      template: {src: list.j2, dest: "{{ sandbox }}/second@N"}
      vars: {title: "second @W"}
      notify: [Reload @N, Restart @N]
"#,
        handlers: r#"
    - name: Reload @N
      copy: {content: "reloaded @W\n", dest: "{{ sandbox }}/reloaded@N"}
    - name: Restart @N
      command: "true"
"#,
    },
    piece(
        r#"
    - name: Base @N
      copy: {content: "a=1\nb=2\n#c=3\n", dest: "{{ sandbox }}/conf@N", force: false}
    - name: Line @N
      lineinfile: {path: "{{ sandbox }}/conf@N", regexp: "^#?c=", line: "c=@W"}
    - name: Another line @N
      lineinfile: {path: "{{ sandbox }}/conf@N", insertafter: "^a=", line: "after-a=@W"}
    - name: Block @N
      blockinfile: {path: "{{ sandbox }}/conf@N", block: "x=@W\ny=2"}
    - name: Replace @N
      replace: {path: "{{ sandbox }}/conf@N", regexp: "^b=.*$", replace: "b=@W"}
    - name: Ini @N
      ini_file: {path: "{{ sandbox }}/ini@N", section: "@W", option: key, value: "1", mode: "0644"}
    - name: Second option @N
      ini_file: {path: "{{ sandbox }}/ini@N", section: "@W", option: other, value: "2", mode: "0644"}
"#,
    ),
    piece(
        r#"
    - name: Secret @N
      copy: {content: "token-@W", dest: "{{ sandbox }}/token@N", mode: "0600"}
    - name: Read it @N
      slurp: {src: "{{ sandbox }}/token@N"}
      register: token
    - name: Use it @N
      copy: {content: "bearer {{ token.content | b64decode }}\n", dest: "{{ sandbox }}/bearer@N"}
"#,
    ),
    piece(
        r#"
    - name: Old file @N
      copy: {content: "old\n", dest: "{{ sandbox }}/kept@N"}
    - name: Copy on the node @N
      copy: {src: "{{ sandbox }}/kept@N", dest: "{{ sandbox }}/copied@N", remote_src: true, mode: "@M"}
    - name: Link @N
      file: {src: "{{ sandbox }}/copied@N", dest: "{{ sandbox }}/link@N", state: link}
    - name: Through the link @N
      stat: {path: "{{ sandbox }}/link@N", follow: true}
      register: linked
    - name: What the link says @N
      copy: {content: "{{ linked.stat.exists }} {{ linked.stat.mode }} {{ linked.stat.size }}\n", dest: "{{ sandbox }}/linked@N"}
    - name: Hard link @N
      file: {src: "{{ sandbox }}/kept@N", dest: "{{ sandbox }}/hard@N", state: hard}
"#,
    ),
    piece(
        r#"
    - name: Is it gone @N
      stat: {path: "{{ sandbox }}/gone@N"}
      register: gone
    - name: Only as long as the marker is not there @N
      copy: {content: "short-lived\n", dest: "{{ sandbox }}/marker@N"}
    - name: Take the old one away @N
      file: {path: "{{ sandbox }}/gone@N", state: absent}
    - name: Look again @N
      stat: {path: "{{ sandbox }}/gone@N"}
      register: seen
    - name: Say so @N
      template: {src: found.j2, dest: "{{ sandbox }}/found@N"}
    - name: Never @N
      fail: {msg: it is there}
      when: seen.stat.exists
"#,
    ),
    piece(
        r#"
    - name: Once @N
      command: "cp /etc/hostname {{ sandbox }}/once@N"
      args: {creates: "{{ sandbox }}/once@N"}
      register: once
    - name: After once @N
      copy: {content: "@W\n", dest: "{{ sandbox }}/after@N"}
    - name: Not again @N
      command: "cp /etc/passwd {{ sandbox }}/once@N"
      args: {creates: "{{ sandbox }}/after@N"}
    - name: Removed by a command @N
      shell: "rm -f {{ sandbox }}/nothing@N"
      args: {removes: "{{ sandbox }}/nothing@N"}
"#,
    ),
    piece(
        r#"
    - name: Ask the node @N
      shell: echo "@W"
      register: said
      changed_when: false
    - name: What it said @N
      copy: {content: "{{ said.stdout }}\n", dest: "{{ sandbox }}/said@N"}
    - name: If it said so @N
      copy: {content: "yes\n", dest: "{{ sandbox }}/yes@N"}
      when: said.stdout == "@W"
    - name: Whatever it said @N
      copy: {content: "rc is looked at\n", dest: "{{ sandbox }}/any@N"}
      when: said is not skipped
"#,
    ),
    piece(
        r#"
    - name: Ask already in the plan @N
      command: "echo @W"
      register: told
      changed_when: false
      check_mode: false
    - name: Told @N
      copy: {content: "{{ told.stdout }}\n", dest: "{{ sandbox }}/told@N"}
"#,
    ),
    piece(
        r#"
    - name: Careful @N
      block:
        - name: Try @N
          copy: {content: "tried\n", dest: "{{ sandbox }}/tried@N"}
        - name: Fails @N
          fail: {msg: "on purpose"}
        - name: Not reached @N
          copy: {content: "no\n", dest: "{{ sandbox }}/no@N"}
      rescue:
        - name: Rescue @N
          copy: {content: "rescued from {{ ansible_failed_result.msg }}\n", dest: "{{ sandbox }}/rescued@N"}
      always:
        - name: Always @N
          copy: {content: "always\n", dest: "{{ sandbox }}/always@N", mode: "@M"}
"#,
    ),
    piece(
        r#"
    - name: Fact @N
      set_fact: {place@N: "{{ sandbox }}/facts@N", level@N: "{{ 3 * 14 }}"}
    - name: Folder from the fact @N
      file: {path: "{{ place@N }}", state: directory, mode: "0750"}
    - name: File from the fact @N
      copy: {content: "{{ level@N }}\n", dest: "{{ place@N }}/level"}
    - name: It must be there @N
      stat: {path: "{{ place@N }}/level"}
      register: level
    - name: Hold @N
      assert: {that: [level.stat.exists, level.stat.size > 1]}
"#,
    ),
    piece(
        r#"
    - name: Fragments @N
      file: {path: "{{ sandbox }}/frag@N", state: directory}
    - name: Fragment @N
      copy: {content: "{{ item }}\n", dest: "{{ sandbox }}/frag@N/{{ item }}"}
      with_items: [10-first, 20-second, "30-@W"]
    - name: Assembled @N
      assemble: {src: "{{ sandbox }}/frag@N", dest: "{{ sandbox }}/assembled@N", mode: "@M"}
"#,
    ),
    piece(
        r#"
    - name: Where to unpack @N
      file: {path: "{{ sandbox }}/pack@N", state: directory}
    - name: Unpack @N
      unarchive: {src: pack.tar.gz, dest: "{{ sandbox }}/pack@N"}
    - name: A member @N
      stat: {path: "{{ sandbox }}/pack@N/pack/bin/tool"}
      register: tool
    - name: Link to the member @N
      file: {src: "{{ sandbox }}/pack@N/pack/bin/tool", dest: "{{ sandbox }}/tool@N", state: link}
      when: tool.stat.exists
    - name: Mode of the member @N
      file: {path: "{{ sandbox }}/pack@N/pack/README", mode: "0755"}
"#,
    ),
    piece(
        r#"
    - name: Whole tree @N
      copy: {src: tree/, dest: "{{ sandbox }}/tree@N/"}
    - name: All closed @N
      file: {path: "{{ sandbox }}/tree@N", mode: "u=rwX,g=rX,o=", recurse: true}
    - name: Find all @N
      find: {paths: "{{ sandbox }}/tree@N", recurse: true, file_type: file}
      register: all
    - name: Names @N
      copy: {content: "{{ all.files | map(attribute='path') | map('basename') | sort | join(' ') }}\n", dest: "{{ sandbox }}/names@N"}
"#,
    ),
    Piece {
        tasks: r#"
    - name: Unit @N
      copy: {content: "[Unit]\nDescription=@W\n", dest: "{{ sandbox }}/unit@N"}
      notify: "unit @N"
    - name: Handlers now @N
      meta: flush_handlers
    - name: After the handlers @N
      stat: {path: "{{ sandbox }}/reloaded-unit@N"}
      register: after
    - name: Once reloaded @N
      copy: {content: "reloaded: {{ after.stat.exists }}\n", dest: "{{ sandbox }}/state@N"}
      when: after.stat.exists
"#,
        handlers: r#"
    - name: Note the unit @N
      copy: {content: "@W\n", dest: "{{ sandbox }}/reloaded-unit@N"}
      listen: "unit @N"
"#,
    },
    piece(
        r#"
    - name: Include @N
      include_tasks: more.yml
      vars: {which: "@N-{{ item }}"}
      loop: [a, b]
    - name: Included there @N
      stat: {path: "{{ sandbox }}/included-@N-a"}
      register: included
    - name: Checksum of what was included @N
      copy: {content: "{{ included.stat.checksum }}\n", dest: "{{ sandbox }}/sum@N"}
"#,
    ),
    piece(
        r#"
    - name: Backed up @N
      copy: {content: "one\n", dest: "{{ sandbox }}/base@N", force: false}
    - name: Changed when @N
      copy: {content: "@W\n", dest: "{{ sandbox }}/cw@N"}
      register: cw
      changed_when: cw is changed and cw.dest is defined
    - name: On change only @N
      copy: {content: "changed to @W\n", dest: "{{ sandbox }}/cw-changed@N"}
      when: cw is changed
    - name: May fail @N
      command: "test -e {{ sandbox }}/surely-not-there"
      register: may
      ignore_errors: true
      changed_when: false
    - name: By its code @N
      copy: {content: "code {{ may.rc }}\n", dest: "{{ sandbox }}/code@N"}
"#,
    ),
    piece(
        r#"
    - name: Deep @N
      file: {path: "{{ sandbox }}/deep@N/a/b/c", state: directory, mode: "0700"}
    - name: In the deep @N
      copy: {content: "@W\n", dest: "{{ sandbox }}/deep@N/a/b/c/"}
      when: false
    - name: Into the folder @N
      copy: {src: tree/a.txt, dest: "{{ sandbox }}/deep@N/a/b/c/"}
    - name: Old folder away @N
      file: {path: "{{ sandbox }}/deep-old@N", state: absent}
    - name: Look below @N
      find: {paths: "{{ sandbox }}/deep@N", recurse: true, file_type: any}
      register: below
    - name: How much is below @N
      copy: {content: "{{ below.matched }}\n", dest: "{{ sandbox }}/below@N"}
    - name: Open a little @N
      file: {path: "{{ sandbox }}/deep@N/a/b", mode: "0711"}
"#,
    ),
    piece(
        r#"
    - name: With a dictionary @N
      copy: {content: "{{ item.value }}\n", dest: "{{ sandbox }}/{{ item.key }}@N"}
      loop: "{{ {'red': 1, 'green': 2} | dict2items }}"
      loop_control: {label: "{{ item.key }}"}
    - name: Nested @N
      copy: {content: "{{ item.0 }}-{{ item.1 }}\n", dest: "{{ sandbox }}/n-{{ item.0 }}-{{ item.1 }}@N"}
      with_nested: [[a, b], [c]]
    - name: Moved on the node @N
      command: "mv {{ sandbox }}/green@N {{ sandbox }}/moved@N"
      args: {creates: "{{ sandbox }}/moved@N"}
      when: false
    - name: Empty file @N
      copy: {content: "", dest: "{{ sandbox }}/empty@N"}
    - name: Its checksum @N
      stat: {path: "{{ sandbox }}/empty@N", checksum_algorithm: sha256}
      register: empty
    - name: Write the checksum @N
      copy: {content: "{{ empty.stat.checksum }} {{ empty.stat.size }}\n", dest: "{{ sandbox }}/emptysum@N"}
"#,
    ),
];
