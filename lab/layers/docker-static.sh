# parent: node
# A worker that still runs Docker, laid out as Docker's static bundle is by hand or by a role: binaries in /usr/local/bin, units in
# /etc/systemd/system, the bundle's remains in /opt/tmp, a user and a group. The programs are those of Debian's packages.
apt-get -q update
apt-get -qy --no-install-recommends install libdevmapper1.02.1 libltdl7
mkdir /tmp/debs && cd /tmp/debs
chown _apt .
apt-get -q download docker.io containerd runc tini
for deb in *.deb; do dpkg-deb -x "$deb" root; done
version=$(dpkg-deb -f docker.io_*.deb Version | sed 's/[+~-].*//')
bundle=/opt/tmp/docker-$version/docker
mkdir -p "$bundle"
cp root/usr/bin/{docker,containerd,containerd-shim,containerd-shim-runc-v2,ctr} root/usr/sbin/{dockerd,runc} "$bundle"/
cp root/usr/bin/docker-proxy "$bundle"/ 2>/dev/null || cp root/usr/sbin/docker-proxy "$bundle"/
cp root/usr/bin/tini-static "$bundle/docker-init"
install -o root -g root -m 0755 "$bundle"/* /usr/local/bin/
groupadd --system docker
useradd --system --no-create-home --shell /usr/sbin/nologin --gid docker docker
cat >/etc/systemd/system/docker.socket <<C
[Unit]
Description=Docker Socket for the API
[Socket]
ListenStream=/run/docker.sock
SocketMode=0660
SocketUser=root
SocketGroup=docker
[Install]
WantedBy=sockets.target
C
cat >/etc/systemd/system/docker.service <<C
[Unit]
Description=Docker Application Container Engine
After=network.target docker.socket
Requires=docker.socket
[Service]
Type=notify
ExecStart=/usr/local/bin/dockerd -H fd://
Delegate=yes
KillMode=process
[Install]
WantedBy=multi-user.target
C
mkdir -p /etc/docker
echo '{"log-driver": "json-file"}' >/etc/docker/daemon.json
systemctl enable docker.socket docker.service
