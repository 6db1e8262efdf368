# parent: docker
# A worker of a cluster that still runs Docker: what kubelet calls, and a runc for machines without CAP_SYS_RESOURCE.
apt-get -q update
apt-get -qy --no-install-recommends install conntrack ebtables ethtool socat

# dockershim wants an OOM score of -998 for every sandbox, and a score below 0 cannot be set in the lab.
cat >/usr/local/sbin/runc-lab <<'C'
#!/bin/sh
bundle=. create= previous=
for word; do
  case $previous in --bundle | -b) bundle=$word ;; esac
  case $word in create | run) create=1 ;; --bundle=*) bundle=${word#*=} ;; esac
  previous=$word
done
[ -z "$create" ] || sed -i 's/"oomScoreAdj":-[0-9]*/"oomScoreAdj":0/' "$bundle/config.json"
exec /usr/sbin/runc "$@"
C
chmod +x /usr/local/sbin/runc-lab
mkdir -p /etc/docker
cat >/etc/docker/daemon.json <<'C'
{"exec-opts": ["native.cgroupdriver=systemd"], "storage-driver": "overlay2", "log-opts": {"max-size": "1m"}, "shutdown-timeout": 5,
 "runtimes": {"lab": {"path": "/usr/local/sbin/runc-lab"}}, "default-runtime": "lab"}
C
