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

// New gives an empty data object, ready to be filled from JSON.
func New() any { return &templateData{} }
