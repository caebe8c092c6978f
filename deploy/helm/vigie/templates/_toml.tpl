{{/* Settings as TOML. Helm's own toToml writes every number with a point, and 4.0 is no count. Text,
     lists and numbers of JSON are TOML too. */}}
{{- define "vigie.toml" -}}
{{- range $section, $table := . }}
{{- range (kindIs "slice" $table | ternary $table (list $table)) }}
{{ kindIs "slice" $table | ternary (printf "[[%s]]" $section) (printf "[%s]" $section) }}
{{- range $key, $value := . }}
{{- if not (kindIs "invalid" $value) }}
{{ $key | toJson }} = {{ include "vigie.tomlValue" $value }}
{{- end }}
{{- end }}
{{ end }}
{{- end }}
{{- end }}

{{- define "vigie.tomlValue" -}}
{{- if kindIs "map" . -}}
{ {{- range $index, $key := keys . | sortAlpha }}{{ if $index }}, {{ end }}{{ $key | toJson }} = {{ include "vigie.tomlValue" (get $ $key) }}{{ end -}} }
{{- else if kindIs "slice" . -}}
[{{ range $index, $value := . }}{{ if $index }}, {{ end }}{{ include "vigie.tomlValue" $value }}{{ end }}]
{{- else -}}
{{ toJson . }}
{{- end -}}
{{- end }}
