module signet.dev/golden/protos

go 1.26.0

require (
	github.com/container-storage-interface/spec v1.13.0 // indirect
	k8s.io/kubelet v0.37.2 // indirect
)
