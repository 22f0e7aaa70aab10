{{- define "web.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* At most 52 characters, to leave room for "-migrate" and for the suffixes of pod names. */}}
{{- define "web.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | replace "." "-" | trunc 52 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | replace "." "-" | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | replace "." "-" | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "web.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Labels of all objects except pods. There is no component, since objects of several components share them. */}}
{{- define "web.labels" -}}
helm.sh/chart: {{ include "web.chart" . }}
app.kubernetes.io/name: {{ include "web.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | trimAll "-._" | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* The component excludes the migration and test pods from the Service. */}}
{{- define "web.selectorLabels" -}}
app.kubernetes.io/name: {{ include "web.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: server
{{- end }}

{{- define "web.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "web.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "web.image" -}}
{{- $repository := required "image.repository: required; set it to the service's image, without a tag" .Values.image.repository }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}
{{- end }}

{{/* The minimum and maximum number of pods. */}}
{{- define "web.minReplicas" -}}
{{- .Values.autoscaling.enabled | ternary .Values.autoscaling.minReplicas (.Values.replicaCount | default 2) }}
{{- end }}
{{- define "web.maxReplicas" -}}
{{- .Values.autoscaling.enabled | ternary .Values.autoscaling.maxReplicas (.Values.replicaCount | default 2) }}
{{- end }}

{{- define "web.terminationGracePeriodSeconds" -}}
{{- add .Values.server.preStopSeconds .Values.server.gracefulTimeoutSeconds 5 }}
{{- end }}

{{/* Environment variables that the chart derives from its values, as YAML. */}}
{{- define "web.derivedConfig" -}}
{{- $name := include "web.fullname" . }}
{{- $proxied := or .Values.ingress.enabled .Values.httpRoute.enabled }}
{{- $hosts := list $name (printf "%s.%s" $name .Release.Namespace) (printf "%s.%s.svc" $name .Release.Namespace) }}
{{- $hosts = concat $hosts .Values.allowedHosts }}
{{- if .Values.ingress.enabled }}
{{- $hosts = concat $hosts .Values.ingress.hosts }}
{{- end }}
{{- if .Values.httpRoute.enabled }}
{{- $hosts = concat $hosts .Values.httpRoute.hostnames }}
{{- end }}
{{- /* Django writes the wildcard *.example.com as .example.com. */}}
ALLOWED_HOSTS: {{ regexReplaceAll "(^|,)\\*\\." (uniq $hosts | join ",") "${1}." | quote }}
{{- if kindIs "invalid" .Values.numProxies }}
NUM_PROXIES: {{ ternary 1 0 $proxied }}
{{- else }}
NUM_PROXIES: {{ .Values.numProxies }}
{{- end }}
LOG_LEVEL: {{ .Values.logLevel | quote }}
LOG_FORMAT: {{ .Values.logFormat | quote }}
WEB_CONCURRENCY: {{ .Values.server.workers }}
WEB_THREADS: {{ .Values.server.threads }}
GRACEFUL_TIMEOUT: {{ .Values.server.gracefulTimeoutSeconds }}
PORT: 8000
OPS_PORT: 8001
{{- range .Values.secretFiles }}
{{ . }}_FILE: /run/secrets/service/{{ . }}
{{- end }}
{{- if and .Values.secretFiles .Values.redis.existingSecret }}
REDIS_URL_FILE: /run/secrets/service/REDIS_URL
{{- end }}
{{- with .Values.csrfTrustedOrigins }}
CSRF_TRUSTED_ORIGINS: {{ join "," . | quote }}
{{- end }}
{{- with .Values.corsAllowedOrigins }}
CORS_ALLOWED_ORIGINS: {{ join "," . | quote }}
{{- end }}
{{- with .Values.redis.socketTimeout }}
REDIS_SOCKET_TIMEOUT: {{ . }}
{{- end }}
{{- if .Values.redis.caSecret.name }}
REDIS_CA_CERT: /run/secrets/redis-ca/{{ .Values.redis.caSecret.key }}
{{- end }}
{{- range $scope, $rate := .Values.throttles }}
THROTTLE_{{ upper $scope }}: {{ $rate | quote }}
{{- end }}
{{- end }}

{{/* All non-secret environment variables: data of the ConfigMap, and env of the migration Job. */}}
{{- define "web.config" -}}
{{- range $key, $value := mergeOverwrite (include "web.derivedConfig" . | fromYaml) .Values.env }}
{{- /* YAML parses an unquoted off as false. */}}
{{- $takesOff := or (hasPrefix "THROTTLE_" $key) (eq $key "THROTTLING_HEADERS") }}
{{- if and $takesOff (eq (toString $value) "false") }}
{{- $value = "off" }}
{{- end }}
{{- /* toString would print a large number with an exponent. */}}
{{- if kindIs "float64" $value }}
{{- $value = toJson $value }}
{{- end }}
{{ $key }}: {{ toString $value | quote }}
{{- end }}
{{- end }}

{{/*
Parts of the pod specification that the service and the migration share. Some take a dict: .root is the
root context, .secret the name of the Secret created from `secrets`.
*/}}
{{- define "web.secretSources" -}}
{{- if not .root.Values.secretFiles }}
- secretRef:
    name: {{ .root.Values.existingSecret | default .secret | quote }}
{{- end }}
{{- with .root.Values.envFrom }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "web.redisEnv" -}}
{{- if and .Values.redis.existingSecret (not .Values.secretFiles) -}}
- name: REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.redis.existingSecret | quote }}
      key: {{ .Values.redis.urlKey | quote }}
{{- end }}
{{- end }}

{{- define "web.volumeMounts" -}}
- name: tmp
  mountPath: /tmp
{{- if .Values.redis.caSecret.name }}
- name: redis-ca
  mountPath: /run/secrets/redis-ca
  readOnly: true
{{- end }}
{{- if .Values.secretFiles }}
- name: secrets
  mountPath: /run/secrets/service
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "web.volumes" -}}
# The workers write heartbeats and metrics here. In memory, so that a slow disk cannot block them.
- name: tmp
  emptyDir:
    medium: Memory
    sizeLimit: 64Mi
{{- with .root.Values.redis.caSecret }}
{{- if .name }}
- name: redis-ca
  secret:
    secretName: {{ .name | quote }}
    items:
      - key: {{ .key }}
        path: {{ .key }}
{{- end }}
{{- end }}
{{- with .root.Values.secretFiles }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      - secret:
          name: {{ $.root.Values.existingSecret | default $.secret | quote }}
          items:
            {{- range . }}
            - {key: {{ . }}, path: {{ . }}}
            {{- end }}
      {{- with $.root.Values.redis.existingSecret }}
      - secret:
          name: {{ . | quote }}
          items:
            - {key: {{ $.root.Values.redis.urlKey }}, path: REDIS_URL}
      {{- end }}
{{- end }}
{{- with .root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The migration as a Helm or an Argo CD hook. Argo CD would run Helm's hooks before its first sync wave. */}}
{{- define "web.hook" -}}
{{- if eq .root.Values.migrations.hook "argocd" -}}
argocd.argoproj.io/hook: Sync
argocd.argoproj.io/hook-delete-policy: BeforeHookCreation
argocd.argoproj.io/sync-wave: {{ .wave | quote }}
{{- else -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ .wave | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
{{- end }}
