{{/* Parts of pods. `role` is driver, gateway or topics: whose secrets and variables. */}}

{{- define "vigie.image" -}}
{{- $own := .image | default dict -}}
{{- $all := .root.Values.image -}}
{{- $repository := default $all.repository $own.repository -}}
{{- $digest := ternary $own.digest $all.digest (or (hasKey $own "tag") (hasKey $own "digest")) -}}
{{- if and (not $digest) (regexMatch ":[^/]*$" $repository) -}}
{{- fail (printf "image.repository is %s: the tag belongs into image.tag" $repository) -}}
{{- end -}}
{{- if $digest -}}
{{- printf "%s@%s" $repository $digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (coalesce $own.tag $all.tag .root.Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{/* Resources of a container, [their path in the values, they]: a pod that asks for more than it may
     have is refused. */}}
{{- define "vigie.resources" -}}
{{- $path := index . 0 -}}
{{- $resources := index . 1 -}}
{{- range $name, $request := $resources.requests -}}
{{- $limit := get $resources.limits $name -}}
{{- if and $limit (gt (include "vigie.amount" $request | float64) (include "vigie.amount" $limit | float64)) -}}
{{- fail (printf "%s.resources: the request of %s is %v, and the limit %v: raise that too" $path $name $request $limit) -}}
{{- end -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end }}

{{/* A quantity of Kubernetes as a number. */}}
{{- define "vigie.amount" -}}
{{- $number := regexFind "^[0-9.]+" (toString .) -}}
{{- $units := dict "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- kindIs "string" . | ternary (mulf $number (get $units (trimPrefix $number (toString .)) | default 1)) (float64 .) -}}
{{- end }}

{{/* The `restricted` Pod Security Standard. */}}
{{- define "vigie.podSecurityContext" -}}
{{- $restricted := dict "runAsNonRoot" true "runAsUser" 10001 "runAsGroup" 10001 "fsGroup" 10001 "fsGroupChangePolicy" "OnRootMismatch" "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- mustMerge (dict) .Values.podSecurityContext $restricted | toYaml -}}
{{- end }}

{{- define "vigie.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* What every pod says: {root, component, at} with `at` the values that place it. */}}
{{- define "vigie.podSpec" -}}
automountServiceAccountToken: false
serviceAccountName: {{ include "vigie.serviceAccount" .root }}
enableServiceLinks: false
{{- include "vigie.placement" . }}
{{- end }}

{{- define "vigie.placement" }}
securityContext:
  {{- include "vigie.podSecurityContext" .root | nindent 2 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with include "vigie.priorityClass" .root }}
priorityClassName: {{ . }}
{{- end }}
{{- with .at.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
tolerations:
  {{- range list "not-ready" "unreachable" }}
  - {key: node.kubernetes.io/{{ . }}, operator: Exists, effect: NoExecute, tolerationSeconds: {{ $.root.Values.evictAfterSeconds }}}
  {{- end }}
  {{- with .at.tolerations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .at.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "vigie.spread" -}}
{{- range $index, $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
{{- if $index }}{{ "\n" }}{{ end -}}
- maxSkew: 1
  topologyKey: {{ $key }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- $.labels | nindent 6 }}
{{- end }}
{{- end }}

{{- define "vigie.kafkaUser" -}}
{{- printf "%s-%s" (include "vigie.fullname" .root) .role -}}
{{- end }}

{{/* Secrets of a role by setting, as JSON; the later of the four goes first. */}}
{{- define "vigie.secretsOf" -}}
{{- $values := .root.Values -}}
{{- $found := dict -}}
{{- $driver := ternary $values.driver.secrets dict (eq .role "topics") -}}
{{- if $values.strimzi.users.create -}}
{{- $_ := set $found "kafka.client.sasl_plain_password" (dict "name" (include "vigie.kafkaUser" .) "key" "password") -}}
{{- $driver = dict -}}
{{- end -}}
{{- $own := (index $values .role).secrets -}}
{{- mustMergeOverwrite $found (deepCopy $values.secrets) (deepCopy $driver) (deepCopy $own) | toJson -}}
{{- end }}

{{/* Variables of a role: {root, role}. Secrets are named by file; the file is read again. */}}
{{- define "vigie.env" -}}
{{- $values := .root.Values -}}
{{- $client := dig "kafka" "client" dict $values.config -}}
- {name: VIGIE_KAFKA__BOOTSTRAP, value: {{ include "vigie.kafkaBootstrap" .root | quote }}}
{{- if $values.strimzi.users.create }}
- {name: VIGIE_KAFKA__CLIENT__SECURITY_PROTOCOL, value: SASL_SSL}
- {name: VIGIE_KAFKA__CLIENT__SASL_MECHANISM, value: SCRAM-SHA-512}
- {name: VIGIE_KAFKA__CLIENT__SASL_PLAIN_USERNAME, value: {{ include "vigie.kafkaUser" . }}}
{{- else if and (include "vigie.isStrimzi" .root) (not (hasKey $client "security_protocol")) }}
- {name: VIGIE_KAFKA__CLIENT__SECURITY_PROTOCOL, value: {{ ternary "SASL_SSL" "SSL" (hasKey $client "sasl_mechanism") }}}
{{- end }}
{{- if and (include "vigie.kafkaCluster" .root) (not (hasKey $client "ssl_cafile")) }}
- {name: VIGIE_KAFKA__CLIENT__SSL_CAFILE, value: /run/secrets/kafka/ca.crt}
{{- end }}
{{- range $setting, $_ := include "vigie.secretsOf" . | fromJson }}
- {name: VIGIE_{{ $setting | upper | replace "." "__" }}_FILE, value: /run/secrets/vigie/{{ $setting }}}
{{- end }}
{{- with $values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- with (index $values .role).extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "vigie.hasKafkaFiles" -}}
{{- if or (include "vigie.kafkaCluster" .) .Values.kafka.filesSecret }}yes{{ end -}}
{{- end }}

{{/* Mounts of a role. */}}
{{- define "vigie.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: config, mountPath: /etc/vigie, readOnly: true}
{{- if include "vigie.hasKafkaFiles" .root }}
- {name: kafka, mountPath: /run/secrets/kafka, readOnly: true}
{{- end }}
{{- if include "vigie.secretsOf" . | fromJson }}
- {name: {{ .volume | default "secrets" }}, mountPath: /run/secrets/vigie, readOnly: true}
{{- end }}
{{- end }}

{{- define "vigie.volumes" -}}
{{- include "vigie.fileVolumes" .root }}
{{- include "vigie.secretVolume" . }}
{{- end }}

{{/* Disk of the node, so never without a bound. */}}
{{- define "vigie.tmp" -}}
emptyDir: {sizeLimit: 2Gi}
{{- end }}

{{/* Ray's logs lie in /tmp: at most 60 MB of each process. */}}
{{- define "vigie.rayLogs" -}}
- {name: RAY_ROTATION_MAX_BYTES, value: "10000000"}
- {name: RAY_ROTATION_BACKUP_COUNT, value: "5"}
{{- end }}

{{- define "vigie.fileVolumes" -}}
- name: tmp
  {{- include "vigie.tmp" . | nindent 2 }}
- name: config
  configMap: {name: {{ include "vigie.fullname" . }}-config}
{{- if include "vigie.hasKafkaFiles" . }}
- name: kafka
  projected:
    defaultMode: 0440
    sources:
      {{- with include "vigie.kafkaCluster" . }}
      - secret:
          name: {{ . }}-cluster-ca-cert
          items: [{key: ca.crt, path: ca.crt}]
      {{- end }}
      {{- with .Values.kafka.filesSecret }}
      - secret: {name: {{ . }}}
      {{- end }}
{{- end }}
{{- end }}

{{- define "vigie.secretVolume" -}}
{{- with include "vigie.secretsOf" . | fromJson }}
- name: {{ $.volume | default "secrets" }}
  projected:
    defaultMode: 0440
    sources:
      {{- range $setting, $secret := . }}
      - secret:
          name: {{ $secret.name }}
          items: [{key: {{ $secret.key }}, path: {{ $setting }}}]
      {{- end }}
{{- end }}
{{- end }}

{{/* A pod is made anew when its settings change. */}}
{{- define "vigie.annotations" -}}
checksum/config: {{ include (print $.root.Template.BasePath "/configmap.yaml") .root | sha256sum }}
{{- with .at.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end }}
