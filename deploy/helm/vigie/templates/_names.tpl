{{/* Name of everything: short enough for what KubeRay appends to it, and what a Service may be called. */}}
{{- define "vigie.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- $cut := default $full .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- if not (regexMatch "^[a-z][-a-z0-9]*$" $cut) -}}
{{- fail (printf "no Service can be called %s: its name has to begin with a letter, with letters, digits and - after it. Choose another name of the release, or set fullnameOverride" $cut) -}}
{{- end -}}
{{- $cut -}}
{{- end }}

{{- define "vigie.labels" -}}
{{ include "vigie.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: vigie
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Of a component: {root, component}. */}}
{{- define "vigie.selector" -}}
app.kubernetes.io/name: vigie
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "vigie.meta" -}}
name: {{ .name | default (printf "%s-%s" (include "vigie.fullname" .root) .component) }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "vigie.labels" . | nindent 2 }}
{{- end }}

{{/* Pods of some components: {root, components}. Without app.kubernetes.io/name: of Ray's pods,
     KubeRay sets that. */}}
{{- define "vigie.pods" -}}
matchLabels:
  app.kubernetes.io/instance: {{ .root.Release.Name }}
matchExpressions:
  - key: app.kubernetes.io/component
    operator: In
    values: {{ .components | toJson }}
{{- end }}

{{- define "vigie.serviceAccount" -}}
{{- default (ternary (include "vigie.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end }}

{{- define "vigie.priorityClass" -}}
{{- if and .Values.priorityClass.create .Values.priorityClass.name -}}
{{- fail "priorityClass.create makes a class, priorityClass.name takes another one: give one of them" -}}
{{- end -}}
{{- default (ternary (printf "%s-%s" .Release.Namespace (include "vigie.fullname" .)) "" .Values.priorityClass.create) .Values.priorityClass.name -}}
{{- end }}

{{/* Not the name of our account: KubeRay makes one of this name for Ray's autoscaler. */}}
{{- define "vigie.rayCluster" -}}
{{- include "vigie.fullname" . }}-ray
{{- end }}

{{- define "vigie.rayAddress" -}}
{{- default (printf "%s-head-svc:6379" (include "vigie.rayCluster" .)) .Values.ray.address -}}
{{- end }}

{{/* KubeRay makes a Secret of the cluster's name, with the key auth_token. */}}
{{- define "vigie.rayToken" -}}
{{- if and .Values.ray.address (not .Values.ray.tokenSecret) -}}
{{- fail "ray.address names a cluster that is there: ray.tokenSecret must name the Secret with its token (key auth_token)" -}}
{{- end -}}
{{- default (include "vigie.rayCluster" .) .Values.ray.tokenSecret -}}
{{- end }}

{{- define "vigie.kafkaCluster" -}}
{{- default (ternary (printf "%s-kafka" (include "vigie.fullname" .)) "" .Values.strimzi.kafka.create) .Values.strimzi.cluster -}}
{{- end }}

{{/* Whether Kafka is that cluster of Strimzi, by its listener inside with TLS. */}}
{{- define "vigie.isStrimzi" -}}
{{- if and (include "vigie.kafkaCluster" .) (not .Values.kafka.bootstrap) }}yes{{ end -}}
{{- end }}

{{- define "vigie.kafkaBootstrap" -}}
{{- if .Values.kafka.bootstrap -}}
{{- .Values.kafka.bootstrap -}}
{{- else if include "vigie.isStrimzi" . -}}
{{- printf "%s-kafka-bootstrap:9093" (include "vigie.kafkaCluster" .) -}}
{{- else -}}
{{- fail "no Kafka: set kafka.bootstrap (host:port), or strimzi.kafka.create, or strimzi.cluster for one that is there" -}}
{{- end -}}
{{- end }}
