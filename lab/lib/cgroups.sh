# Every node lives in cgroups of its own, kdlab/LAB/NODE in each hierarchy: nspawn's cgroup namespace is rooted there, and killing
# the node is killing the cgroup. A process in it means the node is up; nothing else has to be believed.

# The mounted hierarchies: one on a cgroup2 machine, several on a hybrid one.
hierarchies() {
  local h
  for h in /sys/fs/cgroup /sys/fs/cgroup/*; do
    if [ ! -L "$h" ] && [ -f "$h/cgroup.procs" ] && mountpoint -q "$h"; then echo "$h"; fi
  done
}

# Puts the calling (sub)shell into the node's cgroups.
cg_join() {
  local path=kdlab/$LAB/$1 h d
  for h in $(hierarchies); do
    mkdir -p "$h/$path"
    d=$h
    # shellcheck disable=SC2086 # the path's parts
    for part in ${path//\// }; do
      [ ! -e "$d/cgroup.subtree_control" ] || [ "$d" = "$h" ] || enable_controllers "$d"
      d=$d/$part
      # A new cpuset has no CPUs, and a process cannot join it before it has.
      if [ -e "$d/cpuset.mems" ] && [ -e "$d/cgroup.clone_children" ] && [ -z "$(cat "$d/cpuset.mems")" ]; then
        cat "$h/cpuset.cpus" >"$d/cpuset.cpus"
        cat "$h/cpuset.mems" >"$d/cpuset.mems"
        echo 1 >"$d/cgroup.clone_children"
      fi
    done
    # All nodes together are one group: without this they would get as much of a busy machine as a single process.
    [ ! -w "$h/kdlab/cpu.shares" ] || echo 16384 >"$h/kdlab/cpu.shares"
    [ ! -w "$h/kdlab/cpu.weight" ] || echo 1600 >"$h/kdlab/cpu.weight"
    echo "$BASHPID" >"$d/cgroup.procs"
  done
}

enable_controllers() {
  local c
  for c in $(cat "$1/cgroup.controllers"); do echo "+$c" >"$1/cgroup.subtree_control" 2>/dev/null || true; done
}

# cg_procs PATH-BELOW-kdlab: every process in it, in any hierarchy.
cg_procs() {
  local h
  for h in $(hierarchies); do
    [ ! -d "$h/kdlab/$1" ] || find "$h/kdlab/$1" -name cgroup.procs -exec cat {} + 2>/dev/null || true
  done | sort -un
}

# Kills every process in the cgroup: a killed nspawn would leave its payload running.
cg_kill() {
  local h pids
  for _ in $(seq 200); do
    for h in $(hierarchies); do
      [ ! -e "$h/kdlab/$1/cgroup.kill" ] || echo 1 >"$h/kdlab/$1/cgroup.kill" 2>/dev/null || true
    done
    pids=$(cg_procs "$1")
    [ -n "$pids" ] || return 0
    # shellcheck disable=SC2086 # a list
    kill -KILL $pids 2>/dev/null || true
    sleep 0.05
  done
  say "processes of $1 do not die: $(echo "$pids" | paste -sd' ')"
  return 1
}

cg_remove() {
  local h
  for h in $(hierarchies); do
    [ ! -d "$h/kdlab/$1" ] || find "$h/kdlab/$1" -depth -type d -exec rmdir {} + 2>/dev/null || true
    rmdir "$h/kdlab/${1%%/*}" "$h/kdlab" 2>/dev/null || true
  done
}
