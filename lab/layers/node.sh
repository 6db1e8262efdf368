# What a minimal Debian worker has, and what makes it a lab node. No Python, curl or wget: kdeploy must not need them.

# Fewer units: a faster boot, less memory. Nothing here is what a worker's roles touch.
for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer dpkg-db-backup.timer \
  systemd-pstore.service getty@tty1.service console-getty.service getty.target systemd-udevd.service systemd-timesyncd.service \
  systemd-networkd-wait-online.service systemd-update-utmp.service systemd-update-utmp-runlevel.service sys-kernel-debug.mount \
  sys-kernel-tracing.mount dev-hugepages.mount sys-kernel-config.mount modprobe@.service systemd-journal-flush.service \
  systemd-random-seed.service systemd-boot-update.service ldconfig.service; do
  ln -sf /dev/null "/etc/systemd/system/$unit"
done
systemctl enable systemd-networkd.service

useradd -m -s /bin/bash deploy
useradd -m -s /bin/bash -g operator operator
echo operator:operator | chpasswd
echo 'deploy ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/deploy
echo 'operator ALL=(ALL) ALL' >/etc/sudoers.d/operator
chmod 440 /etc/sudoers.d/*

# The lab puts its key below /etc/ssh/lab when it makes a node. The key exchange is one that costs a client 15 ms of CPU, not 95.
mkdir -p /etc/ssh/lab
cat >/etc/ssh/sshd_config.d/lab.conf <<C
PermitRootLogin prohibit-password
PasswordAuthentication no
AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/lab/authorized_keys
KexAlgorithms curve25519-sha256,curve25519-sha256@libssh.org,diffie-hellman-group14-sha256
UseDNS no
PrintLastLog no
MaxStartups 200:30:400
MaxSessions 100
Match User operator
  PasswordAuthentication yes
C
rm -f /etc/ssh/ssh_host_*

# nspawn mounts cgroups and /proc/sys read-only, and SYSTEMD_NSPAWN_API_VFS_WRITABLE would make networkd wait for udev for ever:
# what runc needs is made writable here, first thing at boot.
cat >/usr/local/sbin/lab-mounts <<'C'
#!/bin/sh
mount -o remount,rw /sys/fs/cgroup 2>/dev/null
for d in /sys/fs/cgroup/*/; do
  [ -h "${d%/}" ] || mount -o remount,rw,bind "$d" 2>/dev/null
done
mount -o remount,rw,bind /proc/sys
mount --make-rshared /
[ -e /dev/kmsg ] || mknod /dev/kmsg c 1 11
[ -e /dev/fuse ] || mknod /dev/fuse c 10 229
exit 0
C
chmod +x /usr/local/sbin/lab-mounts
cat >/etc/systemd/system/lab-mounts.service <<C
[Unit]
Description=What a container needs writable
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/lab-mounts
RemainAfterExit=yes
[Install]
WantedBy=sysinit.target
C
systemctl enable lab-mounts.service

# A reboot with running containers would wait 90 s for each that does not stop.
mkdir -p /etc/systemd/system.conf.d /etc/systemd/journald.conf.d
printf '[Manager]\nDefaultTimeoutStopSec=10s\n' >/etc/systemd/system.conf.d/lab.conf
printf '[Journal]\nSystemMaxUse=16M\n' >/etc/systemd/journald.conf.d/lab.conf

for tool in python3 curl wget; do # kdeploy must not come to lean on one
  if command -v $tool; then echo "$tool must not be on a node"; exit 1; fi
done
