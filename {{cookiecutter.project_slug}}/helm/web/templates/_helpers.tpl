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

{{/*
Metadata of an object. Arguments:
  root         the root context
  name         default: the full name
  suffix       of the name, such as -migrate
  labels       additional labels
  annotations  its annotations
*/}}
{{- define "web.metadata" -}}
name: {{ .name | default (include "web.fullname" .root) }}{{ .suffix | default "" }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  helm.sh/chart: {{ include "web.chart" .root }}
  {{- include "web.selectorLabels" .root | nindent 2 }}
  app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | trunc 63 | trimAll "-._" | quote }}
  app.kubernetes.io/managed-by: {{ .root.Release.Service }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Selects all pods of the release; with `app.kubernetes.io/component`, those of one component. */}}
{{- define "web.selectorLabels" -}}
app.kubernetes.io/name: {{ include "web.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
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
{{- range $name, $value := mergeOverwrite (include "web.derivedConfig" . | fromYaml) .Values.env }}
{{ $name }}: {{ include "web.setting" (list $name $value) | quote }}
{{- end }}
{{- end }}

{{/* A setting as text, from its name and value. */}}
{{- define "web.setting" -}}
{{- $name := index . 0 }}
{{- $value := index . 1 }}
{{- if and (eq (toString $value) "false") (regexMatch "^(THROTTLE_.*|THROTTLING_HEADERS)$" $name) }}
{{- /* YAML parses an unquoted off as false. */ -}}
off
{{- else if kindIs "float64" $value }}
{{- /* toString would print a large number with an exponent. */}}
{{- toJson $value }}
{{- else }}
{{- toString $value }}
{{- end }}
{{- end }}

{{/*
The pod template of every component. Arguments:
  root       the root context
  component  value of the label app.kubernetes.io/component
  container  name of the container
  spec       settings of the component, by the keys of a container and of a pod
  job        whether the pods run to completion
  early      whether they run before the release's objects exist: then settings are listed, secrets
             come from an existing Secret or from the copy in migrate-secret.yaml, and the chart's
             service account is not used
*/}}
{{- define "web.podTemplate" -}}
{{- $values := .root.Values -}}
metadata:
  {{- $annotations := merge (dict) (.spec.podAnnotations | default dict) $values.podAnnotations }}
  {{- if not .job }}
  {{- /* Changed settings trigger a rollout; a new chart version alone does not. */}}
  {{- $_ := include "web.config" .root | sha256sum | set $annotations "checksum/config" }}
  {{- end }}
  {{- with $annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  labels:
    {{- include "web.selectorLabels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
    {{- with merge (dict) (.spec.podLabels | default dict) $values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- if .job }}
  restartPolicy: Never
  {{- end }}
  {{- if not (and .early $values.serviceAccount.create) }}
  serviceAccountName: {{ include "web.serviceAccountName" .root }}
  {{- end }}
  automountServiceAccountToken: false
  # Otherwise a Service named `redis` would set REDIS_PORT=tcp://… in every pod.
  enableServiceLinks: false
  {{- with .spec.terminationGracePeriodSeconds }}
  terminationGracePeriodSeconds: {{ int64 . }}
  {{- end }}
  securityContext:
    {{- toYaml $values.podSecurityContext | nindent 4 }}
  {{- range $key := list "affinity" "imagePullSecrets" "initContainers" "nodeSelector" "priorityClassName" "tolerations" }}
  {{- with get $.spec $key | default (get $values $key) }}
  {{- dict $key . | toYaml | nindent 2 }}
  {{- end }}
  {{- end }}
  {{- if and $values.topologySpreadConstraints (not .job) }}
  topologySpreadConstraints:
    {{- range $values.topologySpreadConstraints }}
    # Count the pods of one revision only, not those that a rolling update is replacing.
    - matchLabelKeys: [pod-template-hash]
      labelSelector:
        matchLabels:
          {{- include "web.selectorLabels" $.root | nindent 10 }}
          app.kubernetes.io/component: {{ $.component }}
      {{- toYaml . | nindent 6 }}
    {{- end }}
  {{- end }}
  containers:
    - name: {{ .container }}
      image: {{ include "web.image" .root }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      {{- range $key := list "command" "args" "ports" "lifecycle" "startupProbe" "livenessProbe" "readinessProbe" }}
      {{- with get $.spec $key }}
      {{- dict $key . | toYaml | nindent 6 }}
      {{- end }}
      {{- end }}
      {{- with include "web.env" . | trim }}
      env:
        {{- . | nindent 8 }}
      {{- end }}
      {{- with include "web.envFrom" . | trim }}
      envFrom:
        {{- . | nindent 8 }}
      {{- end }}
      resources:
        {{- .spec.resources | default $values.resources | toYaml | nindent 8 }}
      securityContext:
        {{- toYaml $values.securityContext | nindent 8 }}
      volumeMounts:
        {{- include "web.volumeMounts" .root | nindent 8 }}
    {{- with .spec.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "web.volumes" . | nindent 4 }}
{{- end }}

{{/* Parts of a pod template, with the same arguments. */}}
{{- define "web.secretName" -}}
{{- .root.Values.existingSecret | default (printf "%s%s" (include "web.fullname" .root) (ternary "-migrate" "" (default false .early))) }}
{{- end }}

{{- define "web.env" -}}
{{- if .early }}
{{- range $name, $value := include "web.config" .root | fromYaml }}
{{- /* $$( escapes $(NAME), which Kubernetes expands here but not in a ConfigMap. */}}
- name: {{ $name }}
  value: {{ $value | replace "$(" "$$(" | quote }}
{{- end }}
{{- end }}
{{- with .root.Values.redis }}
{{- if and .existingSecret (not $.root.Values.secretFiles) }}
- name: REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret | quote }}
      key: {{ .urlKey | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "web.envFrom" -}}
{{- if not .root.Values.secretFiles }}
- secretRef:
    name: {{ include "web.secretName" . | quote }}
{{- end }}
{{- with .root.Values.envFrom }}
{{ toYaml . }}
{{- end }}
{{- if not .early }}
# Last, so that it takes precedence, as `env` does in the migration Job.
- configMapRef:
    name: {{ include "web.fullname" .root }}
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
          name: {{ include "web.secretName" $ | quote }}
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
