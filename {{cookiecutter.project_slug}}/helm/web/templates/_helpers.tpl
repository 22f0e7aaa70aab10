{{- define "web.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* 52 characters leave room for "-migrate" and for what the pods' names append. */}}
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

{{/* Labels of everything but pods, and without a component: resources of several components share them. */}}
{{- define "web.labels" -}}
helm.sh/chart: {{ include "web.chart" . }}
app.kubernetes.io/name: {{ include "web.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | trimAll "-._" | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* The component keeps pods of the migration and of the test out of the Service. */}}
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
{{- $repository := required "image.repository: name the service's image, without a tag" .Values.image.repository }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}
{{- end }}

{{/* The least and the greatest number of pods. */}}
{{- define "web.minReplicas" -}}
{{- .Values.autoscaling.enabled | ternary .Values.autoscaling.minReplicas (.Values.replicaCount | default 2) }}
{{- end }}
{{- define "web.maxReplicas" -}}
{{- .Values.autoscaling.enabled | ternary .Values.autoscaling.maxReplicas (.Values.replicaCount | default 2) }}
{{- end }}

{{- define "web.terminationGracePeriodSeconds" -}}
{{- add .Values.server.preStopSeconds .Values.server.gracefulTimeoutSeconds 5 }}
{{- end }}

{{/* Settings that are no secrets, as a map: the ConfigMap's data, and the migration Job's environment. */}}
{{- define "web.config" -}}
{{- $name := include "web.fullname" . }}
{{- $hosts := concat (list $name (printf "%s.%s" $name .Release.Namespace) (printf "%s.%s.svc" $name .Release.Namespace)) .Values.allowedHosts }}
{{- if .Values.ingress.enabled }}{{ $hosts = concat $hosts .Values.ingress.hosts }}{{ end }}
{{- if .Values.httpRoute.enabled }}{{ $hosts = concat $hosts .Values.httpRoute.hostnames }}{{ end }}
{{- $proxied := or .Values.ingress.enabled .Values.httpRoute.enabled }}
{{- $config := dict
  "ALLOWED_HOSTS" (regexReplaceAll "(^|,)\\*\\." (uniq $hosts | join ",") "${1}.")
  "NUM_PROXIES" (kindIs "invalid" .Values.numProxies | ternary (ternary 1 0 $proxied) .Values.numProxies)
  "LOG_LEVEL" .Values.logLevel
  "LOG_FORMAT" .Values.logFormat
  "WEB_CONCURRENCY" .Values.server.workers
  "WEB_THREADS" .Values.server.threads
  "GRACEFUL_TIMEOUT" .Values.server.gracefulTimeoutSeconds
  "PORT" 8000
  "OPS_PORT" 8001
}}
{{- with .Values.secretFiles }}
{{- range $key := concat . (empty $.Values.redis.existingSecret | ternary list (list "REDIS_URL")) }}{{ $_ := set $config (printf "%s_FILE" $key) (printf "/run/secrets/service/%s" $key) }}{{ end }}
{{- end }}
{{- with .Values.csrfTrustedOrigins }}{{ $_ := set $config "CSRF_TRUSTED_ORIGINS" (join "," .) }}{{ end }}
{{- with .Values.corsAllowedOrigins }}{{ $_ := set $config "CORS_ALLOWED_ORIGINS" (join "," .) }}{{ end }}
{{- with .Values.redis.socketTimeout }}{{ $_ := set $config "REDIS_SOCKET_TIMEOUT" . }}{{ end }}
{{- with .Values.redis.caSecret }}{{ if .name }}{{ $_ := set $config "REDIS_CA_CERT" (printf "/run/secrets/redis-ca/%s" .key) }}{{ end }}{{ end }}
{{- range $scope, $rate := .Values.throttles }}{{ $_ := set $config (printf "THROTTLE_%s" (upper $scope)) (kindIs "bool" $rate | ternary "off" $rate) }}{{ end }}
{{- range $key, $value := mergeOverwrite $config .Values.env }}
{{- /* YAML reads an unquoted off as false, and Helm prints large numbers with an exponent. */}}
{{- if and (eq (toString $value) "false") (or (hasPrefix "THROTTLE_" $key) (eq $key "THROTTLING_HEADERS")) }}{{ $value = "off" }}{{ end }}
{{ $key }}: {{ kindIs "float64" $value | ternary (toJson $value) (toString $value) | quote }}
{{- end }}
{{- end }}

{{/*
What the pods of the service and of the migration share. Some of it takes a dict: .root, and in .secret the
name of the Secret that has `secrets`.
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
{{- with empty .Values.secretFiles | ternary .Values.redis.existingSecret "" -}}
- name: REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ . | quote }}
      key: {{ $.Values.redis.urlKey | quote }}
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
# Heartbeats and metrics of the workers live here: in memory, a slow disk cannot stall them.
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

{{/* The migration as a hook: of helm, or of Argo CD, which would run helm's hooks before its first wave. */}}
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
