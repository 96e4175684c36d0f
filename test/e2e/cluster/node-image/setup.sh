#!/bin/sh
# Runs inside the image build: makes a kind node of Debian's packages and kind's own node files.
set -eu
pause=$1

# kind expects the container runtime below /usr/local and the CNI plugins below /opt.
for program in containerd containerd-shim-runc-v2 ctr; do
  ln -sf "/usr/bin/$program" "/usr/local/bin/$program"
done
ln -sf /usr/sbin/runc /usr/local/sbin/runc
mkdir -p /opt/cni/bin /etc/kubernetes/manifests /etc/cni/net.d
ln -sf /usr/lib/cni/* /opt/cni/bin/
rm -f /etc/cni/net.d/*

ctr oci spec |
  jq '.hooks.createContainer += [{"path": "/kind/bin/mount-product-files.sh"}] | del(.process.rlimits)' \
    >/etc/containerd/cri-base.json
sed -i \
  -e 's/SystemdCgroup = true/SystemdCgroup = false/' \
  -e 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' \
  -e "s#sandbox_image = .*#sandbox_image = \"$pause\"#" \
  /etc/containerd/config.toml

# Debian's unit gives way to kind's; limits and scores that the machine may not grant are left out.
rm -f /lib/systemd/system/containerd.service
sed -i -e '/^Limit/d' -e '/^OOMScoreAdjust/d' /etc/systemd/system/containerd.service

# No unit that makes sense only on a machine of its own.
find /lib/systemd/system/sysinit.target.wants -name systemd-tmpfiles-setup.service -delete
rm -f /lib/systemd/system/multi-user.target.wants/* /etc/systemd/system/*.wants/*
rm -f /lib/systemd/system/local-fs.target.wants/* /lib/systemd/system/basic.target.wants/*
rm -f /lib/systemd/system/sockets.target.wants/*udev* /lib/systemd/system/sockets.target.wants/*initctl*
echo ReadKMsg=no >>/etc/systemd/journald.conf
ln -sf /lib/systemd/systemd /sbin/init
systemctl enable kubelet.service containerd.service undo-mount-hacks.service
systemctl mask systemd-binfmt.service systemd-udevd.service systemd-modules-load.service
: >/etc/machine-id
