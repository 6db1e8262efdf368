# parent: node
# A node with the packages that kubelet and kube-proxy call: there is no package mirror in the lab.
apt-get -q update
apt-get -qy --no-install-recommends install conntrack ebtables ethtool socat
