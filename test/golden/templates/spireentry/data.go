// Package spireentry holds the data object of a ClusterSPIFFEID template, with the package and
// type name that users see in error messages.
package spireentry

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type templateData struct {
	TrustDomain   string
	ClusterName   string
	ClusterDomain string
	PodMeta       *metav1.ObjectMeta
	PodSpec       *corev1.PodSpec
	NodeMeta      *metav1.ObjectMeta
	NodeSpec      *corev1.NodeSpec
}

// extras is what Signet offers beside it; a template reaches it by name, and nothing else shows it.
type extras struct {
	NamespaceMeta  *metav1.ObjectMeta
	Owner          owner
	ServiceAccount string
}

// owner is the object at the top of a pod's chain of owners.
type owner struct {
	Kind string
	Name string
}

// Extras gives an empty object of what Signet adds to the data object.
func Extras() any { return &extras{} }

// New gives an empty data object, ready to be filled from JSON.
func New() any { return &templateData{} }
