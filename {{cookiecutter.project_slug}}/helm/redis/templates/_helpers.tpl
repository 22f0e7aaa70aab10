{{- define "redis.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* At most 52 characters: a StatefulSet appends suffixes to the names of its pods and revisions. */}}
{{- define "redis.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | replace "." "-" | trunc 52 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | replace "." "-" | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | replace "." "-" | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "redis.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "redis.labels" -}}
helm.sh/chart: {{ include "redis.chart" . }}
{{ include "redis.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | trimAll "-._" | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "redis.selectorLabels" -}}
app.kubernetes.io/name: {{ include "redis.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: server
{{- end }}

{{- define "redis.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}
{{- end }}

{{- define "redis.secretName" -}}
{{- .Values.auth.existingSecret | default (include "redis.fullname" .) }}
{{- end }}

{{- define "redis.scheme" -}}
{{- .Values.tls.existingSecret | empty | ternary "redis" "rediss" }}
{{- end }}

{{/*
ACL rules of the service's user: the keys with its prefix, and the commands of Django's cache,
cacheops, the throttles and their scripts. SCAN also lists the names of other keys. An ACL file requires
one line.
*/}}
{{- define "redis.rules" -}}
{{- $prefix := required "auth.keyPrefix: required; set it to the service's CACHE_KEY_PREFIX, which defaults to its Kubernetes name (see deploy/redis.yaml)" .Values.auth.keyPrefix }}
{{- $commands := `
+ping +info +time +select +client|setname +client|setinfo
+get +mget +set +setex +psetex +setnx +mset +getdel +getex +getrange +strlen +incr +incrby +decr +decrby
+del +unlink +exists +type +expire +pexpire +persist +ttl +pttl +scan
+sadd +srem +smembers +scard +sscan +sunion +lpush
+multi +exec +discard +watch +unwatch
+eval +evalsha +script|load +script|exists
` }}
{{- $rules := printf "~%s:* -@all %s %s" $prefix $commands .Values.auth.extraRules }}
{{- regexReplaceAll "\\s+" $rules " " | trim }}
{{- end }}

{{- define "redis.host" -}}
{{- printf "%s.%s.svc" (include "redis.fullname" .) .Release.Namespace }}
{{- end }}

{{/* 75 % of the memory limit in bytes: Redis does not accept suffixes such as Mi. */}}
{{- define "redis.maxmemory" -}}
{{- $limit := required "resources.limits.memory: required, since maxmemory is computed from it; set a quantity such as 256Mi" ((.Values.resources).limits).memory | toString }}
{{- $unit := regexFind "[A-Za-z]*$" $limit }}
{{- $factor := get (dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824) $unit }}
{{- if not $factor }}
{{- fail (printf "resources.limits.memory: %q has an unsupported unit; use Ki, Mi, Gi, k, M or G" $limit) }}
{{- end }}
{{- mulf (trimSuffix $unit $limit | float64) $factor 0.75 | floor | int64 }}
{{- end }}
