{{/* Refuses groups whose pods would never come, or have no room for the workers of the beginning. */}}
{{- define "vigie.checkGroups" -}}
{{- $workers := dig "workers" dict .Values.config -}}
{{- $placement := dig "placement" "auto" $workers -}}
{{- $isCuda := eq (dig "model" "device" "auto" .Values.config) "cuda" -}}
{{- $gpus := 0 -}}
{{- $cpus := 0 -}}
{{- range $name, $group := .Values.ray.workerGroups -}}
{{- if $group -}}
{{- if lt (int $group.maxReplicas) (int $group.minReplicas) -}}
{{- fail (printf "ray.workerGroups.%s: maxReplicas is %v, and minReplicas %v" $name $group.maxReplicas $group.minReplicas) -}}
{{- end -}}
{{- $gpus = max $gpus (include "vigie.gpus" $group | int) -}}
{{- $each := include "vigie.amount" (default $group.resources.requests.cpu $group.resources.limits.cpu) | ceil | int -}}
{{- $cpus = add $cpus (mul $each (ternary $group.maxReplicas (include "vigie.replicas" $group | int) $.Values.ray.autoscaler.enabled)) -}}
{{- end -}}
{{- end -}}
{{- if $isCuda -}}
{{- if lt (float64 $gpus) (float64 (dig "num_gpus_per_scorer" 1 $workers)) -}}
{{- fail "config.model.device is cuda: no pod of ray.workerGroups has the gpus of one scorer (config.workers.num_gpus_per_scorer, 1 by itself)" -}}
{{- end -}}
{{- if eq $placement "ingest" -}}
{{- fail "config.workers.placement is ingest, and GPUs go to scorers alone: set it to actors, or leave config.model.device at cpu" -}}
{{- end -}}
{{- end -}}
{{- $kinds := ternary (list "ingest" "scorers") (list "ingest") (or (eq $placement "actors") $isCuda) -}}
{{- $fewest := 0 -}}
{{- range $kind := $kinds -}}
{{- $isAuto := eq (get $workers $kind | default "auto" | toString) "auto" -}}
{{- $first := ternary (get $workers (printf "min_%s" $kind) | default 1) (get $workers $kind) $isAuto | int -}}
{{- $fewest = add $fewest (ternary (min $first (int $.Values.config.topics.partitions)) $first (eq $kind "ingest")) -}}
{{- $isScaled := and $isAuto $.Values.ray.autoscaler.enabled (ne (dig "scaling" "auto" $workers) "off") -}}
{{- if and $isScaled (eq (get $workers (printf "max_%s" $kind) | default "auto" | toString) "auto") -}}
{{- fail (printf "ray.autoscaler.enabled adds pods for workers that find no room: set config.workers.max_%s, which by itself goes by what is there" $kind) -}}
{{- end -}}
{{- end -}}
{{- if gt $fewest $cpus -}}
{{- fail (printf "ray.workerGroups have %d CPUs, and config.workers wants %d workers at least, each with a CPU: the driver could never start" $cpus $fewest) -}}
{{- end -}}
{{- end }}

{{/* What of the groups works, if not as it was meant: for the notes. */}}
{{- define "vigie.groupNotes" -}}
{{- $device := dig "model" "device" "auto" .Values.config -}}
{{- range $name, $group := .Values.ray.workerGroups -}}
{{- if $group -}}
{{- $replicas := include "vigie.replicas" $group | int -}}
{{- if ne $replicas (int $group.replicas) }}
ray.workerGroups.{{ $name }}: replicas is {{ $group.replicas }}, and KubeRay keeps it between minReplicas and maxReplicas, at {{ $replicas }}.
{{- end }}
{{- if and (include "vigie.gpus" $group | int) (ne $device "cuda") }}
ray.workerGroups.{{ $name }} has GPUs, and config.model.device is {{ $device }}: {{ ternary "those that come after the driver" "they" (eq $device "auto") }} stay unused. Set it to cuda.
{{- end }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* GPUs of a group's pod, as KubeRay tells Ray of them: those of any kind that are in its limits. */}}
{{- define "vigie.gpus" -}}
{{- $found := default 0 .gpus | int -}}
{{- range $resource, $amount := .resources.limits -}}
{{- if regexMatch "gpu$|^nvidia\\.com/mig-" $resource -}}
{{- $found = max $found (int $amount) -}}
{{- end -}}
{{- end -}}
{{- $found -}}
{{- end }}

{{/* Pods of a group without Ray's autoscaler. */}}
{{- define "vigie.replicas" -}}
{{- min .maxReplicas (max .minReplicas .replicas) -}}
{{- end }}

{{/* Seconds that a worker has to start. With the autoscaler it waits for a node and for the image there. */}}
{{- define "vigie.startTimeout" -}}
{{- dig "ray" "start_timeout_s" (ternary 900 120 .Values.ray.autoscaler.enabled) .Values.config | ceil | int -}}
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
