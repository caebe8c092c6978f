{{/* Refuses groups whose pods would never come, or stand there unused. */}}
{{- define "vigie.checkGroups" -}}
{{- $workers := dig "workers" dict .Values.config -}}
{{- $isCuda := eq (dig "model" "device" "auto" .Values.config) "cuda" -}}
{{- $gpus := 0 -}}
{{- $cpus := 0 -}}
{{- range $name, $group := .Values.ray.workerGroups -}}
{{- if $group -}}
{{- if or (lt (int $group.replicas) (int $group.minReplicas)) (gt (int $group.replicas) (int $group.maxReplicas)) -}}
{{- fail (printf "ray.workerGroups.%s: replicas is %v, and KubeRay keeps it between minReplicas (%v) and maxReplicas (%v): change those too" $name $group.replicas $group.minReplicas $group.maxReplicas) -}}
{{- end -}}
{{- $gpus = max $gpus (int (default 0 $group.gpus)) -}}
{{- $each := include "vigie.amount" (default $group.resources.requests.cpu $group.resources.limits.cpu) | ceil | int -}}
{{- $cpus = add $cpus (mul $each (ternary $group.maxReplicas $group.replicas $.Values.ray.autoscaler.enabled)) -}}
{{- if and $group.gpus (not $isCuda) -}}
{{- fail (printf "ray.workerGroups.%s has gpus: set config.model.device to cuda. By itself it goes by the GPUs that are there when the driver joins, and those that come later would stay unused" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $isCuda -}}
{{- if lt (float64 $gpus) (float64 (default 1 $workers.num_gpus_per_scorer)) -}}
{{- fail "config.model.device is cuda: no pod of ray.workerGroups has the gpus of one scorer (config.workers.num_gpus_per_scorer, 1 by itself)" -}}
{{- end -}}
{{- if eq (default "auto" $workers.placement) "ingest" -}}
{{- fail "config.workers.placement is ingest, and GPUs go to scorers alone: set it to actors, or leave config.model.device at cpu" -}}
{{- end -}}
{{- end -}}
{{- $ingest := min (include "vigie.fewest" (list $workers "ingest") | int) (int .Values.config.topics.partitions) -}}
{{- $inActors := or (eq (default "auto" $workers.placement) "actors") (and $isCuda (ne (default "auto" $workers.placement) "ingest")) -}}
{{- $scorers := ternary (include "vigie.fewest" (list $workers "scorers") | int) 0 $inActors -}}
{{- if gt (add $ingest $scorers) $cpus -}}
{{- fail (printf "ray.workerGroups have %d CPUs, and config.workers wants %d workers at least, each with a CPU: the driver could never start" $cpus (add $ingest $scorers)) -}}
{{- end -}}
{{- if .Values.ray.autoscaler.enabled -}}
{{- range $kind := ternary (list "ingest" "scorers") (list "ingest") $isCuda -}}
{{- if has (get $workers (printf "max_%s" $kind) | default "auto") (list "auto") -}}
{{- fail (printf "ray.autoscaler.enabled adds pods for workers that find no room: set config.workers.max_%s, which by itself goes by what is there" $kind) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* With how many of a kind a run begins at least: [workers, kind]. */}}
{{- define "vigie.fewest" -}}
{{- $workers := index . 0 -}}
{{- $number := get $workers (index . 1) | default "auto" -}}
{{- ternary (get $workers (printf "min_%s" (index . 1)) | default 1) $number (eq (toString $number) "auto") -}}
{{- end }}

{{/* A group of worker pods: {root, name, group}. */}}
{{- define "vigie.workerGroup" -}}
{{- $of := dict "root" .root "component" "ray-worker" "at" .group "path" (printf "ray.workerGroups.%s" .name) -}}
- groupName: {{ .name }}
  replicas: {{ .group.replicas }}
  minReplicas: {{ .group.minReplicas }}
  maxReplicas: {{ .group.maxReplicas }}
  # The raylet's port stands firm, for the probes; CPUs and GPUs are those of the limits.
  rayStartParams: {node-manager-port: "6380"}
  template:
    metadata:
      labels:
        {{- include "vigie.labels" $of | nindent 8 }}
      {{- with .group.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      {{- include "vigie.podSpec" $of | nindent 6 }}
      {{- include "vigie.rayGrace" .root | nindent 6 }}
      topologySpreadConstraints:
        {{- include "vigie.spread" (dict "labels" (printf "app.kubernetes.io/instance: %s\nray.io/group: %s" .root.Release.Name .name)) | nindent 8 }}
      containers:
        - name: ray-worker
          {{- include "vigie.rayContainer" $of | nindent 10 }}
          {{- include "vigie.rayProbes" (dict "lives" "raylet") | nindent 10 }}
          ports:
            - {name: raylet, containerPort: 6380}
          volumeMounts:
            - {name: tmp, mountPath: /tmp}
            - {name: shm, mountPath: /dev/shm}
            - {name: config, mountPath: /etc/vigie, readOnly: true}
            {{- if include "vigie.hasKafkaFiles" .root }}
            - {name: kafka, mountPath: /run/secrets/kafka, readOnly: true}
            {{- end }}
      volumes:
        {{- include "vigie.fileVolumes" .root | nindent 8 }}
        - name: shm
          emptyDir: {medium: Memory, sizeLimit: {{ .group.sharedMemory }}}
{{- end }}

{{/* What an orderly end takes: the drain of the workers, and what the driver adds to it at most. */}}
{{- define "vigie.drainSeconds" -}}
{{- add (ceil .Values.config.processing.drain_timeout_s) 20 -}}
{{- end }}

{{- define "vigie.rayGrace" -}}
terminationGracePeriodSeconds: {{ add (include "vigie.drainSeconds" . | int) 40 }}
{{- end }}

{{/* What the containers of Ray have in common. KubeRay writes the command and the token. */}}
{{- define "vigie.rayContainer" -}}
{{- $limits := dict -}}
{{- with .at.gpus }}{{ $_ := set $limits "nvidia.com/gpu" . }}{{ end -}}
image: {{ include "vigie.image" (dict "root" .root "image" .at.image) }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
env:
  - {name: RAY_AUTH_MODE, value: token}
  {{- include "vigie.rayLogs" . | nindent 2 }}
  # At SIGTERM a node says that it is about to go, and stays so long: the driver has its workers
  # finish, commit, and start elsewhere.
  - {name: RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S, value: {{ include "vigie.drainSeconds" .root | quote }}}
  {{- with .root.Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
resources:
  {{- include "vigie.resources" (list .path (mustMerge (dict "limits" $limits) (deepCopy .at.resources))) | nindent 2 }}
securityContext:
  {{- include "vigie.containerSecurityContext" . | nindent 2 }}
{{- end }}

{{- define "vigie.rayProbes" -}}
startupProbe:
  tcpSocket: {port: raylet}
  periodSeconds: 5
  failureThreshold: 36
livenessProbe:
  tcpSocket: {port: {{ .lives }}}
  periodSeconds: 10
  failureThreshold: 6
readinessProbe:
  tcpSocket: {port: raylet}
  periodSeconds: 10
{{- end }}
