# The ledger: lines of JSON in $LD/ledger, former contents in $LD/store by their SHA-256. LK: kilobytes in the store; LW: how lines are appended.
kd_state(){ [ "$LW" ] && return 0
  kd_place; umask 077; P=$((P+3)); mkdir -p -- "$LD/store" 2>>"$E" && chmod 700 -- "$LD" "$LD/store" 2>>"$E" && true >>"$LD/ledger" 2>>"$E"; r=$?; umask "$U"
  [ $r = 0 ] || return 1
  LK=$(du -sk -- "$LD/store" 2>/dev/null); LK=${LK%%[!0-9]*}; LK=${LK:-0}
  P=$((P+2)); LW=c; dd if=/dev/null of="$LD/ledger" oflag=append conv=notrunc,fsync 2>/dev/null && LW=d; return 0; }
# BYTES KILOBYTES and then ID KEEP PATH of each path: appends what was there, and the lines of the blob. BYTES: the largest content kept; KILOBYTES: all of them.
# KEEP: k the content of a file; w that of a folder too, as an archive; p the list of packages; else the reason why nothing is.
kd_ledger(){ M="cannot write the ledger"; kd_state || return 1
  umask 077; printf '\n' >"$D/l"; lb=$1 lk=$2; shift 2; kd_former "$@" >>"$D/l" 2>>"$E" 4<&-; r=$?
  if [ $r = 0 ]; then kd_blob "$D/l"; r=$?; fi; umask "$U"; [ $r = 0 ] || { M="cannot write the ledger"; return 1; }
  kd_append "$D/l"; }
# In one write, flushed: a torn line can only be the last one, and the next block begins on a line of its own.
kd_append(){ M="cannot write the ledger"; P=$((P+1))
  if [ "$LW" = d ]; then LC_ALL=C dd if="$1" of="$LD/ledger" bs=1048576 oflag=append conv=notrunc,fsync 2>"$D/q" || { cat "$D/q" >>"$E"; return 1; }
  else cat "$1" >>"$LD/ledger" 2>>"$E" && sync; fi; }
kd_was(){ printf '{"is":"before","of":"%s","t":"%s","m":"%s","u":%s,"g":%s,"s":%s%s}\n' "$@"; }
kd_former(){ n=$#; e= k=
  while [ $n -gt 0 ]; do i=$1 f=$2 p=$3; shift 3; n=$((n-3))
    if [ "$f" = p ]; then P=$((P+2)); dpkg-query -W -f '${Package}\n' >"$D/t" 2>/dev/null; y=$(sha256sum <"$D/t"); y=${y%% *}
      kd_store "$D/t" "$y" 0 || return 1; kd_was "$i" p 0 0 0 0 ,\"d\":\"$y\",\"kept\":true
    elif [ -e "$p" ] || [ -L "$p" ]; then e="$e $i:$f"; set -- "$@" "$p"; else printf '{"is":"before","of":"%s","t":"-"}\n' "$i"; fi
  done
  [ "$e" ] || return 0
  P=$((P+1)); LC_ALL=C stat -c '%f %a %u %g %s' -- "$@" >"$D/s" || return 1
  while IFS=' ' read -r t a u g z; do
    p=$1; shift; e=${e# }; i=${e%% *}; case $e in *' '*) e=${e#* } ;; *) e= ;; esac; f=${i##*:} i=${i%:*}
    case $t in
    8???) if case $f in k|w) ;; *) false ;; esac && [ "$z" -le "$lb" ] && [ -r "$p" ]; then k="$k $i:$a:$u:$g:$z"; set -- "$@" "$p"; else kd_was "$i" f "$a" "$u" "$g" "$z" ,\"why\":\"$f\"; fi ;;
    a???) P=$((P+2)); printf '%s' "$(readlink -n -- "$p")" >"$D/t"; y=$(sha256sum <"$D/t"); y=${y%% *}
      kd_store "$D/t" "$y" 0 || return 1; kd_was "$i" l "$a" "$u" "$g" "$z" ,\"d\":\"$y\",\"kept\":true ;;
    4???) if [ "$f" != w ]; then kd_was "$i" d "$a" "$u" "$g" 0 ''; else kd_folder "$p"; r=$?
        case $r in 0) kd_was "$i" d "$a" "$u" "$g" "$z" ,\"d\":\"$y\",\"kept\":true ;; 2) kd_was "$i" d "$a" "$u" "$g" "$z" ,\"why\":\"$y\" ;; *) return 1 ;; esac; fi ;;
    *) kd_was "$i" o "$a" "$u" "$g" 0 '' ;;
    esac
  done <"$D/s"
  [ "$k" ] || return 0
  P=$((P+1)); LC_ALL=C sha256sum -- "$@" >"$D/s" || return 1
  e=$k
  while IFS=' ' read -r y t; do
    y=${y#\\} p=$1; shift; e=${e# }; i=${e%% *}; case $e in *' '*) e=${e#* } ;; *) e= ;; esac
    z=${i##*:} i=${i%:*}; g=${i##*:} i=${i%:*}; u=${i##*:} i=${i%:*}; a=${i##*:} i=${i%:*}
    if [ -e "$LD/store/$y" ] || [ $((LK+z/1024)) -lt "$lk" ]; then
      kd_store "$p" "$y" "$z" || return 1; kd_was "$i" f "$a" "$u" "$g" "$z" ,\"d\":\"$y\",\"kept\":true
    else kd_was "$i" f "$a" "$u" "$g" "$z" ,\"d\":\"$y\",\"why\":\"full\"; fi
  done <"$D/s"; return 0; }
# FOLDER: what is in it, as an archive in the store; y: its digest, z: its size in bytes. 2: it is not kept, y says why.
kd_folder(){ P=$((P+1)); z=$(du -sk -- "$1" 2>/dev/null); z=${z%%[!0-9]*}; z=$((${z:-0}*1024)) y=large
  [ "$z" -le "$lb" ] || return 2
  y=full; [ $((LK+z/1024)) -lt "$lk" ] || return 2
  y=tar; command -v tar >/dev/null 2>&1 || return 2
  P=$((P+2)); tar -C "$1" -cf "$D/t" . 2>/dev/null || return 2
  y=$(sha256sum <"$D/t"); y=${y%% *}; kd_store "$D/t" "$y" "$z" || return 1; }
kd_store(){ [ -e "$LD/store/$2" ] && return 0
  P=$((P+2)); LK=$((LK+$3/1024+4)); LC_ALL=C cp -- "$1" "$LD/store/.$H" && chmod 600 -- "$LD/store/.$H" && { [ -z "$Y" ] || sync -- "$LD/store/.$H"; } && mv -f -- "$LD/store/.$H" "$LD/store/$2" && return 0
  rm -f -- "$LD/store/.$H"; return 1; }
# What a run must know before it begins: handlers that are owed, and how large the ledger is.
kd_debts(){ kd_place; [ -r "$LD/ledger" ] || { kd_end debts 0; return; }
  P=$((P+1)); LC_ALL=C grep -e '"owes":\[' -e '"is":"paid"' -- "$LD/ledger" 2>/dev/null; z=$(wc -c <"$LD/ledger" 2>/dev/null); kd_end debts $z; }
