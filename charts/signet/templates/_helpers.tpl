{{- define "signet.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* Start of every name; short enough for "-operator" and a pod's suffix behind it. */}}
{{- define "signet.fullname" -}}
{{- $name := include "signet.name" . }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $full .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "signet.operatorName" -}}
{{ include "signet.fullname" . }}-operator
{{- end }}

{{- define "signet.agentName" -}}
{{ include "signet.fullname" . }}-agent
{{- end }}

{{- define "signet.caSecretName" -}}
{{ include "signet.fullname" . }}-ca
{{- end }}

{{- define "signet.bundleConfigMapName" -}}
{{ include "signet.fullname" . }}-bundle
{{- end }}

{{- define "signet.selectorLabels" -}}
app.kubernetes.io/name: {{ include "signet.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "signet.labels" -}}
{{ include "signet.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "signet.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{/* What both roles are told. */}}
{{- define "signet.sharedConfig" -}}
trustDomain: {{ .Values.trustDomain | quote }}
clusterName: {{ .Values.clusterName | quote }}
clusterDomain: {{ .Values.clusterDomain | quote }}
logLevel: {{ .Values.logLevel | quote }}
audience: {{ .Values.audience | quote }}
agent:
  driverName: {{ .Values.csi.driverName | quote }}
  kubeletDir: {{ .Values.kubeletDir | quote }}
  operatorAddress: {{ printf "%s.%s.svc:8443" (include "signet.operatorName" .) .Release.Namespace | quote }}
  bundleDir: /etc/signet/bundle
  tokenFile: /var/run/secrets/signet/token
  publishTimeout: {{ .Values.agent.publishTimeout | quote }}
  onRemoval: {{ .Values.agent.onRemoval | quote }}
  sds: {{ .Values.agent.sds | toJson }}
  healthPort: 8081
{{- end }}

{{- define "signet.operatorConfig" -}}
{{ include "signet.sharedConfig" . }}
operator:
  serviceName: {{ include "signet.operatorName" . }}
  deploymentName: {{ include "signet.operatorName" . }}
  caSecretName: {{ include "signet.caSecretName" . }}
  bundleConfigMapName: {{ include "signet.bundleConfigMapName" . }}
  leaseName: {{ include "signet.operatorName" . }}
  webhookConfigurationName: {{ include "signet.fullname" . }}
  agentServiceAccount: {{ include "signet.agentName" . }}
  className: {{ .Values.className | quote }}
  watchClassless: {{ .Values.watchClassless }}
  ignoreNamespaces: {{ .Values.ignoreNamespaces | toJson }}
  parentIdTemplate: {{ .Values.parentIDTemplate | quote }}
  x509SvidTtl: {{ .Values.x509SvidTtl | quote }}
  caTtl: {{ .Values.caTtl | quote }}
  caKeyType: {{ .Values.caKeyType | quote }}
  jwtSvidTtl: {{ .Values.jwtSvidTtl | quote }}
  jwtAlgorithm: {{ .Values.jwtAlgorithm | quote }}
  {{- with .Values.jwtKeyTtl }}
  jwtKeyTtl: {{ . | quote }}
  {{- end }}
  jwtIssuer: {{ .Values.jwtIssuer | quote }}
  jwtClaims: {{ .Values.jwtClaims | toJson }}
  issuerPort: 8443
  webhookPort: 9443
  healthPort: 8080
{{- end }}
