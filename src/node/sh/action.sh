# Actions: `kd_a INDEX; step && step …; kd_z`. A step that fails has set M, what could not be done. T: the temporary file.
U=$(umask) W= Y= N=
case $(mv --version 2>/dev/null) in *coreutils*) W=1; y=$(sync --version 2>/dev/null); y=${y%%
*}; y=${y##* }; case $y in 8.2[4-9]*|8.3*|9*|[1-9][0-9].*) Y=1 ;; esac ;; esac
P=$((P+3))
kd_a(){ A=$1 T= M= R=0 X=$((X+1)); O=$D/o$X E=$D/e$X; true >"$O" 2>"$E"; }
kd_z(){ z=$?
  if [ $z != 0 ]; then F=1; [ "$T" ] && rm -rf -- "$T"; fi; T=
  if [ -s "$O" ] || [ -s "$E" ]; then P=$((P+1)); cat "$O" "$D/mo" "$E" "$D/me"; fi
  [ $z = 0 ] || { printf '%s' "$M"; kd_end m; }
  kd_end a $A $z $R; }
kd_c(){ M=$1; shift; P=$((P+1)); LC_ALL=C "$@" >>"$O" 2>>"$E" 3<&-; }
kd_no(){ M=$1; return 1; }
# The temporary file of what follows; noted, so that whoever holds the lock next removes what a power cut left.
kd_temp(){ T=$1; [ "$Z" ] && printf '%s\n' "$T" >"$LD/temp"; } 2>/dev/null
kd_left(){ [ -s "$LD/temp" ] || return 0
  y=; IFS= read -r y <"$LD/temp"; case ${y##*/} in .kdeploy.*) P=$((P+1)); rm -f -- "$y" ;; esac; true >"$LD/temp"; } 2>/dev/null
# The blob goes to the new private file T. A writer that stops half-way leaves the stream at an unknown place: L.
kd_new(){ M="cannot make a temporary file"; umask 077; set -C; true 2>>"$E" >"$T"; r=$?; set +C; umask "$U"; [ $r = 0 ] || T=; return $r; }
kd_recv(){ kd_new && kd_blob "$T"; }
kd_blob(){ [ "$B" = 0 ] && return 0
  M="cannot write"; P=$((P+1)); n=$B; B=0
  $K$n <&3 2>"$D/k" >>"$1" || { L=1; cat "$D/k" >>"$E"; return 1; }
  y=; IFS= read -r y <&3; [ "$y" = "$H" ] || exit 1; }
# PATH MODE USER GROUP: gives T its owner and mode; what is not given is the replaced file's.
kd_attr(){ p=$1 m=$2 u=$3 g=$4 o=
  if [ -f "$p" ] && { [ -z "$m" ] || [ -z "$u" ] || [ -z "$g" ]; }; then
    P=$((P+1)); set -- $(LC_ALL=C stat -L -c '%a %u %g' -- "$p" 2>>"$E")
    m=${m:-$1}
    [ "$u" ] || [ "$2" = "$I" ] || o=$2
    [ "$g" ] || [ "$3" = "$J" ] || o=$o:$3
    [ "$o" ] && { P=$((P+1)); LC_ALL=C chown -- "$o" "$T" 2>/dev/null; }
  fi
  if [ "$u$g" ]; then kd_c "cannot set the owner" chown -- "$u${g:+:$g}" "$T" || return 1; fi
  kd_c "cannot set the mode" chmod -- "${m:-=rw}" "$T" || return 1
  [ -e /sys/fs/selinux/enforce ] && [ -e "$p" ] && { P=$((P+1)); chcon --reference="$p" -- "$T" 2>/dev/null; }
  return 0; }
kd_backup(){ [ -e "$1" ] || return 0; kd_c "cannot back up" cp -p -- "$1" "$2"; }
kd_put(){ if [ -d "$1" ] && [ ! -L "$1" ]; then kd_no "cannot replace: it is a directory"; return 1; fi
  [ "$Y" ] && [ -f "$T" ] && [ ! -L "$T" ] && { kd_c "cannot flush to disk" sync -- "$T" || return 1; }
  kd_move "$T" "$1" && T=; }
kd_move(){ if [ "$W" ]; then kd_c "cannot rename" mv -fT -- "$1" "$2"
  else [ -L "$2" ] && [ -d "$2" ] && rm -f -- "$2"; kd_c "cannot rename" mv -f -- "$1" "$2"; fi; }
kd_copy(){ M="cannot copy"; [ -f "$1" ] || { kd_no "cannot copy: no such file on the node"; return 1; }; kd_new || return 1; P=$((P+1)); LC_ALL=C cat -- "$1" 2>>"$E" >>"$T"; }
kd_mkdir(){ p=$1 m=$2 u=$3 g=$4; [ -d "$p" ] || {
    if [ "$u$g" ]; then kd_c "cannot make the directory" mkdir -m 700 -- "$p"; elif [ "$m" ]; then kd_c "cannot make the directory" mkdir -m "$m" -- "$p"
    else kd_c "cannot make the directory" mkdir -- "$p"; fi || return 1
    [ -z "$u$g" ] && return 0; [ "$m" ] || m==rwx; }
  if [ "$u$g" ]; then kd_c "cannot set the owner" chown -- "$u${g:+:$g}" "$p" || return 1; fi
  if [ "$m" ]; then kd_c "cannot set the mode" chmod -- "$m" "$p"; fi; }
kd_symlink(){ if [ ! -e "$1" ] && [ ! -L "$1" ]; then T=; kd_c "cannot make the link" ln -s -- "$2" "$1"
  else kd_c "cannot make the link" ln -s -- "$2" "$T" && kd_put "$1"; fi; }
kd_hardlink(){ if [ ! -e "$1" ] && [ ! -L "$1" ]; then T=; kd_c "cannot make the link" ln -- "$2" "$1"
  else kd_c "cannot make the link" ln -- "$2" "$T" && { Y= ; kd_put "$1"; }; fi; }
kd_chmod(){ [ "$1" = n ] && [ -L "$3" ] && return 0; kd_c "cannot set the mode" chmod -- "$2" "$3"; }
kd_touch(){ p=$1 a=$2 m=$3; if [ -z "$a$m" ]; then [ -e "$p" ] || kd_c "cannot make the file" touch -- "$p"; return; fi
  if [ "$a" = now ] && [ "$m" = now ]; then kd_c "cannot set the times" touch -- "$p"; return; fi
  [ -e "$p" ] || kd_c "cannot make the file" touch -- "$p" || return 1
  case $a in '') ;; now) kd_c "cannot set the times" touch -a -- "$p" ;; *) kd_c "cannot set the times" touch -a -d "$a" -- "$p" ;; esac || return 1
  case $m in '') ;; now) kd_c "cannot set the times" touch -m -- "$p" ;; *) kd_c "cannot set the times" touch -m -d "$m" -- "$p" ;; esac; }
kd_systemctl(){ u=$1; shift
  command -v systemctl >/dev/null 2>&1 || { kd_no "cannot manage units: the node has no \`systemctl\`"; return 1; }
  if [ "$u" ] && [ -z "$XDG_RUNTIME_DIR" ]; then export XDG_RUNTIME_DIR=/run/user/$I; fi
  kd_c "failed" systemctl $u "$@"; R=$?; [ $R = 0 ] && return 0
  # Why a unit did not start stands in its status and journal.
  case " $*" in *" start -- "*|*" restart -- "*|*" reload -- "*)
    while [ "$1" != -- ]; do shift; done; shift; P=$((P+1))
    LC_ALL=C systemctl $u status --no-pager --full --lines=10 -- "$@" >>"$E" 2>&1 3<&- ;;
  esac; return $R; }
# The end of a program: RC, exit codes that are success (empty: all), seconds it was allowed (empty: any).
kd_rc(){ R=$1 M="exited with $1"
  if [ -e "$D/c$X" ]; then kd_no "cannot change to the directory"; return 1; fi
  [ "$3" ] && case $1 in 124|137|143) R=124 M="was stopped after $3 s"; return 1 ;; esac
  [ -z "$2" ] && return 0; case " $2 " in *" $1 "*) return 0 ;; esac; return 1; }
kd_cd(){ cd -- "$1" || { true >"$D/c$X"; exit 1; }; }
# HOW DEST OWNER MODE tar's words: extracts; `s` from the blob, which is read to its end whatever tar does.
kd_untar(){ h=$1 d=$2 o=$3 m=$4; shift 4
  [ -d "$d" ] || { kd_no "no such directory on the node"; return 1; }
  command -v tar >/dev/null 2>&1 || { kd_no "the node has no \`tar\`"; return 1; }
  [ "$N" ] || { P=$((P+1)); case $(tar --version 2>/dev/null) in *"GNU tar"*) N=--show-transformed-names\ --quoting-style=literal ;; *) N=- ;; esac; }
  # busybox's tar knows no exclusion (the members that are wanted are named then, without folders: they stand for all that is in them) and does not look at the content.
  case $N in -) j=$# k=; while [ $j -gt 0 ]; do y=$1; shift; case $k$y in --exclude=*|1--exclude=*) ;; --no-recursion) k=1 ;; 1--) k=1- ; set -- "$@" "$y" ;; 1-*/) ;; *) set -- "$@" "$y" ;; esac; j=$((j-1)); done
    if [ "$h" != s ]; then P=$((P+2)); case $(head -c 6 "$h" | od -An -tx1 | tr -d ' \n') in 1f8b*) set -- -z "$@" ;; 425a68*) set -- -j "$@" ;; fd377a58*) set -- -J "$@" ;; esac; fi ;;
  *) set -- $N "$@" ;; esac
  M="cannot unpack"; P=$((P+2))
  if [ "$h" = s ] && [ "$B" != 0 ]; then n=$B; B=0
    $K$n <&3 2>/dev/null | { LC_ALL=C tar -C "$d" -x -v "$@" >>"$O" 2>>"$E" 3<&-; r=$?; cat >/dev/null; exit $r; }; r=$?
    y=; IFS= read -r y <&3; [ "$y" = "$H" ] || exit 1
  else LC_ALL=C tar -C "$d" -x -v "$@" >>"$O" 2>>"$E" 3<&-; r=$?; fi
  [ $r = 0 ] && kd_owned; }
kd_unzip(){ d=$1 o=$2 m=$3; shift 3
  [ -d "$d" ] || { kd_no "no such directory on the node"; return 1; }
  M="cannot unpack"; P=$((P+1)); LC_ALL=C unzip -d "$d" "$@" >"$O.z" 2>>"$E" 3<&- || return 1
  while IFS= read -r y; do case $y in *inflating:*|*extracting:*|*creating:*|*linking:*) y=${y#*: }; y=${y%% -> *}; y=${y%"${y##*[! ]}"}; printf '%s\n' "${y#"${d%/}"/}" ;; esac; done <"$O.z" >>"$O"
  kd_owned; }
# Gives every extracted member its owner and mode, some hundred a time.
kd_owned(){ [ "$o$m" ] || return 0
  set --; while IFS= read -r y; do set -- "$@" "${d%/}/$y"; [ $# -lt 200 ] || { kd_these "$@" || return 1; set --; }; done <"$O"
  [ $# = 0 ] || kd_these "$@"; }
kd_these(){ if [ "$o" ]; then kd_cq "cannot set the owner" chown -h -- "$o" "$@" || return 1; fi
  [ "$m" ] || return 0
  j=$#; while [ $j -gt 0 ]; do y=$1; shift; [ -L "$y" ] || set -- "$@" "$y"; j=$((j-1)); done
  [ $# = 0 ] || kd_cq "cannot set the mode" chmod -- "$m" "$@"; }
kd_cq(){ M=$1; shift; P=$((P+1)); LC_ALL=C "$@" >/dev/null 2>>"$E" 3<&-; }
# DELAY COMMAND…: starts the reboot after the reply went out; $D/rb tells if the command failed.
kd_reboot(){ j=$1; shift; rm -f -- "$D/rb"
  { trap '' HUP; sleep "$j"; if "$@" >"$D/rbo" 2>&1; then :; else printf '%s ' $? >"$D/rb"; cat "$D/rbo" >>"$D/rb"; fi; } >/dev/null 2>&1 3<&- </dev/null &
  M=; true; }
# TEXT PLACE [PID START]: takes the node's lock for as long as this shell lives; `held` with the holder's text, place, pid, start
# time and what it runs if another living shell has it. The file names its holder by pid, start time and boot: one that a killed
# shell or a power cut left is taken over. PID, started at START, is a shell that nobody leads any more: it ends here unless it still runs something.
# y: when process PID started; empty if it is gone, or over and only not yet reaped.
kd_started(){ y=; IFS= read -r y <"/proc/$1/stat"; y=${y##*) }; set -- $y; y=${20}; case $1 in Z|X) y= ;; esac; } 2>/dev/null
kd_place(){ if [ "$LL" ]; then LD=$HOME/.local/state/kdeploy/node; elif [ "$I" = 0 ]; then LD=/var/lib/kdeploy; else LD=$HOME/.local/state/kdeploy; fi; }
kd_lock(){ t=$1 f=$2 g=$3 h=$4; [ "$Z" ] && { kd_end locked; return; }
  kd_place
  P=$((P+2)); umask 077; mkdir -p -- "$LD" 2>"$D/q" && kd_started $$ && b=$(kd_line /proc/sys/kernel/random/boot_id) && printf '%s\n' "$$ $y $b $D" "$t" "$f" >"$LD/.lock.$H" 2>>"$D/q"; r=$?; umask "$U"
  [ $r = 0 ] || { IFS= read -r y <"$D/q"; printf '%s' "$y"; kd_end nolock; return; }
  j=0; while [ $j -lt 20 ]; do j=$((j+1)); P=$((P+2))
    if ln -- "$LD/.lock.$H" "$LD/lock" 2>"$D/q"; then Z=$LD/lock; rm -f -- "$LD/.lock.$H"; kd_left; kd_end locked; return; fi
    q= v= w= e= x= f=; { read -r q v w e; IFS= read -r x; IFS= read -r f; } <"$LD/lock" 2>/dev/null || [ "$x" ] || continue
    if [ "$w" = "$b" ] && kd_started "$q" && [ "$y" = "$v" ]; then i=$(kd_below "$q")
      if [ "$q $v" = "$g $h" ] && [ -z "$i" ]; then kill -KILL "$q" 2>/dev/null && P=$((P+1)) && sleep 1; continue; fi
      rm -f -- "$LD/.lock.$H"; printf '%s\n' "$x" "$f" "$q $v"
      for y in $i; do P=$((P+1)); { tr '\0\n' '  ' <"/proc/$y/cmdline"; } 2>/dev/null && printf '\n'; done; kd_end held; return
    fi
    mv -f -- "$LD/lock" "$LD/.stale.$H" 2>/dev/null || continue
    # Somebody else may have been quicker: what was moved must be what was read.
    c= d=; { read -r c d y; } <"$LD/.stale.$H" 2>/dev/null
    if [ "$c $d" = "$q $v" ]; then rm -f -- "$LD"/store/.[!.]*; case $e in */.kdeploy-"${e##*/.kdeploy-}") rm -rf -- "$e" ;; esac; else ln -- "$LD/.stale.$H" "$LD/lock" 2>/dev/null; fi
    rm -f -- "$LD/.stale.$H"
  done
  IFS= read -r y <"$D/q"; rm -f -- "$LD/.lock.$H"; printf '%s' "$y"; kd_end nolock; }
# FILE SECONDS NONCE: the blob holds requests; a process of its own works them off, replies go to FILE. It outlives this shell.
kd_job(){ M="cannot start a background job"; umask 077
  P=$((P+2)); mkdir -p -- "${1%/*}" 2>>"$E" && mkdir -- "$1.job" 2>>"$E" && true >"$1.job/in"; r=$?; umask "$U"; [ $r = 0 ] || return 1
  kd_blob "$1.job/in" || return 1
  P=$((P+2)); ( trap '' HUP; trap - EXIT INT TERM PIPE; Z= T=; kd_work "$@" & ) </dev/null >/dev/null 2>&1 3<&-; }
kd_work(){ f=$1 D=$1.job H=$3 F= X=0 P=0 B=0; umask 077; exec 3<"$D/in" >"$D/out" 2>/dev/null; umask "$U"; rm -f -- "$D/in"
  IFS=' ' read -r q y </proc/self/stat; kd_started "$q"; printf 'kdeploy-job %s %s %s\n' "$H" "$q" "$y"; mv -f -- "$D/out" "$f"
  printf '%s+' "$H" >"$D/m"; printf '%s= o\n' "$H" >"$D/mo"; printf '%s= e\n' "$H" >"$D/me"
  { kd_loop; exit 0; } & p=$!
  { sleep "$2"; true >"$D/late"; kd_kill $p; } >/dev/null 3<&- & w=$!
  wait $p; r=$?; kd_kill $w; t=; [ -e "$D/late" ] && t=1; rm -rf -- "$D"
  if [ "$t" ]; then printf '\n'; kd_end late; elif [ $r = 0 ]; then kd_end z 0; fi; }
# PID: ends a process and all below it.
kd_kill(){ kill -STOP "$1" 2>/dev/null; for j in $(kd_below "$1"); do kd_kill "$j"; done; kill -KILL "$1" 2>/dev/null; }
kd_below(){ for y in /proc/[0-9]*/stat; do q=; { IFS= read -r q <"$y"; } 2>/dev/null || continue; j=${q##*) }; j=${j#* }
  [ "${j%% *}" = "$1" ] && printf '%s ' "${q%% *}"; done; }
