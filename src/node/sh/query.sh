# Queries. Reply of one: sections, the last tagged `q RC`. $D/q: stderr of the tools.
G= V=0
case $(stat --version 2>/dev/null) in *coreutils*) G=1 ;; esac
if [ "$G" ]; then
  S=$H'+%f:%u:%g:%U:%G:%s:%.9Y:%.9X:%.9Z:%i:%d:%h:%n'
else
  S=$H'+%f:%u:%g:%U:%G:%s:%Y:%X:%Z:%i:%d:%h:%n'
fi
P=$((P+1))
kd_q(){ r=$?; kd_end o; [ -s "$D/q" ] && { P=$((P+1)); cat "$D/q"; kd_end e; true >"$D/q"; }; kd_end q $r; }
kd_stat(){ f=$1; shift
  if command -v stat >/dev/null 2>&1; then P=$((P+1)); LC_ALL=C stat $f -c "$S" -- "$@" 2>"$D/q"
  else kd_ls "$f" "$@"; fi; r=$?
  l= i=0
  [ "$f" ] || for p; do i=$((i+1)); [ -L "$p" ] && l="$l \"\${$i}\""; done
  kd_end o; [ -s "$D/q" ] && { P=$((P+1)); cat "$D/q"; kd_end e; true >"$D/q"; }
  [ "$l" ] && eval "kd_links $l"
  kd_end q $r; }
kd_ls(){ f=$1; shift; for p; do P=$((P+1)); y=$(LC_ALL=C ls -dn $f -- "$p" 2>>"$D/q") && printf '%s+ls %s\n%s\n' "$H" "$y" "$p"; done; }
kd_links(){
  if [ "$G" ]; then P=$((P+2)); readlink -z -- "$@" 2>/dev/null; kd_end l
    readlink -fz -- "$@" 2>/dev/null || { kd_end x; kd_real "$@"; }
  else for p; do P=$((P+1)); readlink -n -- "$p" 2>/dev/null; printf '\0'; done; kd_end l; kd_real "$@"; fi; kd_end r; }
kd_real(){ for p; do P=$((P+1)); readlink -n -f -- "$p" 2>/dev/null; printf '\0'; done; }
kd_kinds(){ t= l= i=0; for p; do i=$((i+1))
  if [ ! -f "$p" ]; then t=$t-; elif [ ! -r "$p" ]; then t=${t}u; else t=${t}f; l="$l \"\${$i}\"$k"; fi; done
  printf %s "$t"; kd_end t; }
kd_sum(){ a=$1; shift; k=; kd_kinds "$@"; [ "$l" ] && { P=$((P+1)); eval "LC_ALL=C ${a}sum -- $l" 2>"$D/q"; }; kd_q; }
kd_cat(){ k=' "$D/m"'; kd_kinds "$@"; [ "$l" ] && { P=$((P+1)); eval "LC_ALL=C cat -- $l" 2>"$D/q"; }; kd_q; }
kd_tree(){ n=$1; shift
  [ -d "$1" ] || { kd_end none; kd_q; return; }
  [ "$V" = 0 ] && { P=$((P+1)); V=; find / -maxdepth 0 -printf '' >/dev/null 2>&1 && V=1; }
  P=$((P+1))
  case $1 in -*) p=./$1 ;; *) p=$1 ;; esac
  if [ "$V" ]; then LC_ALL=C find "$p/" -mindepth 1 $n -printf '%y:%m:%U:%G:%u:%g:%s:%T@:%A@:%C@:%i:%D:%n:%P\0%l\0' 2>"$D/q"
  else LC_ALL=C find "$p/" -mindepth 1 $n -exec stat -c "$S" -- {} + 2>"$D/q"; kd_end o
    LC_ALL=C find "$p/" -mindepth 1 $n -type l -exec sh -c 'for p; do printf "%s\0" "$p"; readlink -n -- "$p"; printf "\0"; done' sh {} + 2>/dev/null; kd_end l; fi
  kd_q; }
kd_unit(){ u=$1 a=$2; shift 2
  if [ -n "$u" ] && [ -z "$XDG_RUNTIME_DIR" ]; then export XDG_RUNTIME_DIR=/run/user/$I; fi
  if [ -d /run/systemd/system ] && command -v systemctl >/dev/null 2>&1; then
    P=$((P+1)); LC_ALL=C systemctl $u show -p "$a" -- "$@" 2>"$D/q" || { kd_end x
      for p; do P=$((P+1)); LC_ALL=C systemctl $u show -p "$a" -- "$p" 2>"$D/q"; kd_end u; [ -s "$D/q" ] && { cat "$D/q"; kd_end e; true >"$D/q"; }; done; }
  else kd_end off; command -v systemctl >/dev/null 2>&1 && for p; do P=$((P+1)); LC_ALL=C systemctl $u is-enabled -- "$p" 2>/dev/null; kd_end u; done; fi
  kd_q; }
kd_acct(){
  if command -v getent >/dev/null 2>&1; then P=$((P+1)); getent passwd -- "$@"; kd_end p; [ "$I" = 0 ] && { P=$((P+1)); getent shadow -- "$@"; kd_end s; }
  else P=$((P+1)); cat /etc/passwd; kd_end p; [ "$I" = 0 ] && [ -f /etc/shadow ] && { P=$((P+1)); cat /etc/shadow; kd_end s; }; fi 2>/dev/null
  for p; do P=$((P+1)); id -Gn -- "$p" 2>/dev/null; kd_end g; done; kd_q; }
kd_group(){ P=$((P+1)); if command -v getent >/dev/null 2>&1; then getent group -- "$@"; else cat /etc/group; fi 2>"$D/q"; kd_q; }
kd_pkg(){ P=$((P+1))
  if command -v dpkg-query >/dev/null 2>&1; then kd_end dpkg; LC_ALL=C dpkg-query -W -f '${Package}\t${Architecture}\t${Status}\t${Version}\n' -- "$@" 2>"$D/q"
  elif command -v rpm >/dev/null 2>&1; then kd_end rpm; LC_ALL=C rpm -q --qf '%{NAME}\t%{ARCH}\t%{EPOCH}\t%{VERSION}-%{RELEASE}\n' -- "$@" 2>"$D/q"
  elif command -v apk >/dev/null 2>&1; then kd_end apk; LC_ALL=C apk info -v 2>"$D/q"
  elif command -v pacman >/dev/null 2>&1; then kd_end pacman; LC_ALL=C pacman -Q -- "$@" 2>"$D/q"
  else kd_end nopkg; fi; kd_q; }
kd_policy(){ if command -v apt-cache >/dev/null 2>&1; then P=$((P+1)); LC_ALL=C apt-cache policy -- "$@" 2>"$D/q"; else kd_end nopkg; fi; kd_q; }
kd_read(){ P=$((P+1)); ( kd_exec "$@" ) 2>"$D/q" 3<&-; kd_q; }
