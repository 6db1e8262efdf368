# A change that is put back unless a new connection confirms it. ID SECONDS NUMBER and then paths: saves them, notes the blob (the way back of
# what is no path, a `units` part behind a line of dashes), and arms the timer anew.
kd_confirm(){ M="cannot arm the timer that puts the change back"; kd_place; j=$1 k=$2 cn=$3; shift 3
  [ "$I" = 0 ] && [ -d /run/systemd/system ] || { kd_no "\`confirm\` needs systemd and root on the node"; return 1; }
  c=$LD/confirm/$j u=/etc/systemd/system/kdeploy-confirm-$j
  umask 077; P=$((P+2)); mkdir -p -- "$c" 2>>"$E" && true >"$c/$cn.in" && kd_blob "$c/$cn.in"; r=$?; umask "$U"; [ $r = 0 ] || return 1
  i=0; for p; do i=$((i+1)); if [ -d "$p" ] && [ ! -L "$p" ]; then true >"$c/$cn.$i.d"; elif [ -e "$p" ] || [ -L "$p" ]; then P=$((P+1)); kd_c "cannot save what is there" cp -a -- "$p" "$c/$cn.$i.f" || return 1; else true >"$c/$cn.$i.n"; fi; done
  if [ ! -e "$u.timer" ]; then
    cat >"$c/back" <<END || return 1
#!/bin/sh
# Written by kdeploy: puts back what was not confirmed.
c=$c
put(){ if [ -e "\$c/\$1.d" ]; then :; elif [ -e "\$c/\$1.f" ] || [ -L "\$c/\$1.f" ]; then rm -rf -- "\$2"; cp -a -- "\$c/\$1.f" "\$2"; elif [ ! -e "\$c/\$1.n" ]; then :; elif [ -d "\$2" ] && [ ! -L "\$2" ]; then rmdir -- "\$2"; else rm -f -- "\$2"; fi; }
for s in \$(ls -r "\$c" | grep '^[0-9]*\.in\$'); do . "\$c/\$s"; done
systemctl daemon-reload
for s in \$(ls "\$c" | grep '^[0-9]*\.units\$'); do . "\$c/\$s"; done
echo "put back at \$(date)" >"\$c/done"
systemctl disable $(basename $u).timer
rm -f -- $u.timer $u.service
systemctl daemon-reload
END
    printf '[Unit]\nDescription=kdeploy puts back a change that was not confirmed\n[Service]\nType=oneshot\nExecStart=/bin/sh %s/back\n' "$c" >"$u.service" 2>>"$E" &&
    printf '[Unit]\nDescription=kdeploy waits for a change to be confirmed\n[Timer]\nOnActiveSec=%s\nAccuracySec=1s\n[Install]\nWantedBy=timers.target\n' "$k" >"$u.timer" 2>>"$E" || return 1
    P=$((P+2)); kd_c "cannot arm the timer" systemctl daemon-reload && kd_c "cannot arm the timer" systemctl enable "kdeploy-confirm-$j.timer" || return 1
  fi
  sed -n '/^--units--$/,$p' "$c/$cn.in" | sed 1d >"$c/$cn.units"; sed -i '/^--units--$/,$d' "$c/$cn.in"; P=$((P+5))
  [ -z "$Y" ] || { P=$((P+1)); sync -- "$c"/* "$u.timer" "$u.service" 2>/dev/null; }
  kd_c "cannot arm the timer" systemctl restart "kdeploy-confirm-$j.timer"; }
# ID: it is confirmed; what was saved goes.
kd_confirmed(){ M="cannot confirm"; kd_place; c=$LD/confirm/$1 u=kdeploy-confirm-$1
  if [ ! -d "$c" ] || [ -e "$c/done" ]; then kd_no "the change was put back before it was confirmed"; return 1; fi
  P=$((P+4)); kd_c "cannot stop the timer" systemctl disable --now "$u.timer" || return 1
  if [ -e "$c/done" ] || systemctl is-active --quiet "$u.service"; then kd_no "the change was put back before it was confirmed"; return 1; fi
  rm -rf -- "$c" "/etc/systemd/system/$u.timer" "/etc/systemd/system/$u.service"; kd_c "cannot reload systemd" systemctl daemon-reload; }
