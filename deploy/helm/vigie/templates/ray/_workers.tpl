{{/* A group of worker pods: {root, name, group}. */}}
{{- define "vigie.workerGroup" -}}
{{- $of := dict "root" .root "component" "ray-worker" "at" .group -}}
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
  {{- mustMerge (dict "limits" $limits) (deepCopy .at.resources) | toYaml | nindent 2 }}
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
