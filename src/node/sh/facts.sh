# Facts, raw: as few processes as can be. The control machine makes Ansible's facts of them.
n= l=
for p in /etc/os-release /usr/lib/os-release /etc/debian_version /etc/redhat-release /etc/alpine-release /etc/lsb-release \
  /proc/cpuinfo /proc/meminfo /proc/cmdline /proc/uptime /proc/loadavg /proc/mounts /proc/modules \
  /proc/sys/kernel/ostype /proc/sys/kernel/osrelease /proc/sys/kernel/version /proc/sys/kernel/hostname \
  /proc/1/comm /proc/1/cgroup /proc/1/environ /proc/self/environ /proc/self/status /proc/xen/capabilities /run/systemd/container \
  /etc/resolv.conf /etc/machine-id /var/lib/dbus/machine-id /proc/sys/crypto/fips_enabled \
  /sys/fs/selinux/enforce /sys/fs/selinux/policyvers /etc/selinux/config /proc/net/if_inet6 /proc/net/route /proc/net/fib_trie \
  /etc/ssh/ssh_host_dsa_key.pub /etc/ssh/ssh_host_rsa_key.pub /etc/ssh/ssh_host_ecdsa_key.pub /etc/ssh/ssh_host_ed25519_key.pub \
  /etc/iscsi/initiatorname.iscsi /etc/nvme/hostnqn \
  /sys/class/dmi/id/*_* /sys/class/net/*/address /sys/class/net/*/mtu /sys/class/net/*/operstate /sys/class/net/*/type \
  /sys/class/net/*/speed /sys/class/net/*/flags /sys/class/net/*/bridge/bridge_id /sys/class/net/*/bridge/stp_state \
  /sys/class/net/*/bonding/mode /sys/class/net/*/bonding/slaves /sys/class/net/*/bonding/miimon /etc/ansible/facts.d/*.fact; do
  [ -f "$p" ] && [ -r "$p" ] || continue
  case $p in *.fact) [ -x "$p" ] && continue ;; /proc/net/fib_trie|/proc/net/route) command -v ip >/dev/null 2>&1 && continue ;; esac
  n="$n$p
" l="$l $(printf "'%s'" "$p") \"\$D/m\""
done
printf %s "$n"; kd_end n
P=$((P+1)); eval "cat -- $l" 2>/dev/null; kd_end f
for p in /.dockerenv /.dockerinit /proc/vz /proc/lve /proc/bc /proc/xen /dev/kvm /run/systemd/system /dev/.run/systemd /dev/.systemd \
  /sbin/initctl /etc/init /sbin/openrc /etc/init.d /run/ostree-booted /sys/kernel/security/apparmor /sys/class/net/*/bridge /sys/class/net/*/bonding \
  /sys/class/net/*/brif/* /usr/bin/rpm-ostree /usr/bin/yum /usr/bin/dnf /usr/bin/dnf-3 /usr/bin/dnf5 /usr/bin/microdnf /usr/bin/apt-get /usr/bin/zypper /usr/bin/pacman \
  /bin/opkg /sbin/apk /usr/bin/emerge /usr/bin/xbps-install /usr/bin/swupd /etc/arch-release /etc/gentoo-release /sys/class/net/*; do
  { [ -e "$p" ] || [ -L "$p" ]; } && printf '%s\n' "$p"
done
command -v systemctl >/dev/null 2>&1 && printf 'systemctl\n'
command -v lsb_release >/dev/null 2>&1 && printf 'lsb_release\n'
[ -L /sbin/init ] && printf 'init-is-link\n'
[ "$debian_chroot" ] && printf 'debian_chroot\n'
kd_end x
if command -v ip >/dev/null 2>&1; then P=$((P+3))
  ip addr 2>/dev/null; kd_end a
  ip -4 route get 8.8.8.8 2>/dev/null; kd_end r4
  ip -6 route get 2404:6800:400a:800::1012 2>/dev/null; kd_end r6
elif command -v ifconfig >/dev/null 2>&1; then P=$((P+1)); ifconfig -a 2>/dev/null; kd_end ifconfig; fi
m= r=
while read -r d p k o y; do case $d in /*|*:/*) [ "$k" = none ] && continue
  p=$(printf %b "$p/"); p=${p%/}; p=${p:-/}
  case $d in *:/*|//*) r="$r $(printf "'%s'" "$p")" ;; *) case $p in *\'*) ;; *) m="$m $(printf "'%s'" "$p")" ;; esac ;; esac ;; esac
done </proc/mounts
[ "$m" ] && { P=$((P+1)); eval "stat -f -c '%S:%s:%b:%f:%a:%c:%d:%n' -- $m" 2>/dev/null; }
[ "$r" ] && { P=$((P+1)); eval "timeout 5 stat -f -c '%S:%s:%b:%f:%a:%c:%d:%n' -- $r" 2>/dev/null; }
kd_end d
P=$((P+2)); date '+%s|%Y|%m|%d|%H|%M|%S|%A|%w|%W|%Z|%z|%N' 2>/dev/null; kd_end t
uname -m; kd_end m
y=$(kd_line /proc/sys/kernel/hostname)
if command -v getent >/dev/null 2>&1; then P=$((P+3))
  h=$(getent hosts -- "$y" 2>/dev/null); printf '%s\n' "$h"
  i=${h%%[ 	]*}; [ "$i" ] && [ "${h%%.*}" = "$h" -o -z "${h##[0-9a-f]*}" ] && getent hosts -- "$i" 2>/dev/null; kd_end h
  getent passwd "$I" 2>/dev/null; kd_end u
else [ -r /etc/hosts ] && { P=$((P+1)); cat /etc/hosts; kd_end hosts; }; [ -r /etc/passwd ] && { P=$((P+1)); cat /etc/passwd; kd_end u; }; fi
printf '%s %s' "$I" "$J"; kd_end ids
P=$((P+1)); stat -L -c '%i:%d' / /proc/1/root/. 2>/dev/null; kd_end c
[ -d /dev/disk/by-uuid ] && { P=$((P+1)); ls -l /dev/disk/by-uuid 2>/dev/null; kd_end i; }
[ -d /sys/class/net ] && { P=$((P+1)); ls -ld /sys/class/net/*/device 2>/dev/null; kd_end dev; }
y=$(command -v python3 || command -v python) && { P=$((P+1)); printf '%s\n' "$y"; "$y" --version 2>&1; kd_end y; }
for p in /etc/ansible/facts.d/*.fact; do [ -x "$p" ] && [ -f "$p" ] || continue
  P=$((P+1)); timeout 10 "$p" 2>"$D/q" 3<&-; kd_end "l $? $p"; true >"$D/q"; done
kd_q
