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

{{/* Name of an object for an entry of cronJobs, workers or jobs: at most 52 characters, as for CronJobs. */}}
{{- define "web.entryName" -}}
{{- $root := index . 0 }}
{{- $entry := index . 1 }}
{{- $length := sub 51 (len $entry) | int }}
{{- printf "%s-%s" (include "web.fullname" $root | trunc $length | trimSuffix "-") $entry }}
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
  app.kubernetes.io/version: {{ include "web.version" .root | trunc 63 | trimAll "-._" | quote }}
  app.kubernetes.io/managed-by: {{ .root.Release.Service }}
  {{- with merge (dict) (.labels | default dict) .root.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
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

{{/* The version that runs: the image's tag, or the start of its digest. */}}
{{- define "web.version" -}}
{{- $digest := .Values.image.digest | trimPrefix "sha256:" | trunc 12 }}
{{- .Values.image.tag | default $digest | default .Chart.AppVersion }}
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
SERVICE_VERSION: {{ include "web.version" . | quote }}
LOG_LEVEL: {{ .Values.logLevel | quote }}
LOG_FORMAT: {{ .Values.logFormat | quote }}
WEB_CONCURRENCY: {{ .Values.server.workers }}
WEB_THREADS: {{ .Values.server.threads }}
GRACEFUL_TIMEOUT: {{ .Values.server.gracefulTimeoutSeconds }}
PORT: 8000
OPS_PORT: 8001
{{- if .Values.secretFiles }}
{{- range include "web.urls" . | fromYaml | keys | concat .Values.secretFiles }}
{{ . }}_FILE: /run/secrets/service/{{ . }}
{{- end }}
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

{{/* URLs from other Secrets than the service's: the Secret and its key, by environment variable. */}}
{{- define "web.urls" -}}
{{- with .Values.database }}
{{- if .existingSecret }}
DATABASE_URL: {name: {{ .existingSecret | quote }}, key: {{ .urlKey | quote }}}
{{- end }}
{{- end }}
{{- with .Values.redis }}
{{- if .existingSecret }}
REDIS_URL: {name: {{ .existingSecret | quote }}, key: {{ .urlKey | quote }}}
{{- end }}
{{- end }}
{{- end }}

{{/*
All settings with a fixed value: data of the ConfigMap, and env of the migration Job. Those with
valueFrom are in the containers' env.
*/}}
{{- define "web.config" -}}
{{- range $name, $value := mergeOverwrite (include "web.derivedConfig" . | fromYaml) .Values.env }}
{{- if not (kindIs "map" $value) }}
{{ $name }}: {{ include "web.setting" (list $name $value) | quote }}
{{- end }}
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
    {{- with merge (dict) (.spec.podLabels | default dict) $values.podLabels $values.commonLabels }}
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
  {{- if not (kindIs "invalid" $values.hostUsers) }}
  hostUsers: {{ $values.hostUsers }}
  {{- end }}
  {{- range $key := list
        "affinity" "dnsConfig" "dnsPolicy" "hostAliases" "imagePullSecrets" "initContainers"
        "nodeSelector" "priorityClassName" "runtimeClassName" "tolerations" }}
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
{{- $env := dict }}
{{- if .early }}
{{- $env = include "web.config" .root | fromYaml }}
{{- end }}
{{- if not .root.Values.secretFiles }}
{{- range $name, $reference := include "web.urls" .root | fromYaml }}
{{- $_ := dict "valueFrom" (dict "secretKeyRef" $reference) | set $env $name }}
{{- end }}
{{- end }}
{{- range $name, $value := .root.Values.env }}
{{- if kindIs "map" $value }}
{{- $_ := set $env $name $value }}
{{- end }}
{{- end }}
{{- range $name, $value := .spec.env }}
{{- $_ := kindIs "map" $value | ternary $value (include "web.setting" (list $name $value)) | set $env $name }}
{{- end }}
{{- range $name, $value := $env }}
- name: {{ $name }}
  {{- if kindIs "map" $value }}
  {{- toYaml $value | nindent 2 }}
  {{- else }}
  {{- /* $$( escapes $(NAME), which Kubernetes expands here but not in a ConfigMap. */}}
  value: {{ $value | replace "$(" "$$(" | quote }}
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
# After the secrets, so that it takes precedence, as `env` does in the migration Job.
- configMapRef:
    name: {{ include "web.fullname" .root }}
{{- end }}
{{- with .spec.envFrom }}
{{ toYaml . }}
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
      {{- range $name, $reference := include "web.urls" $.root | fromYaml }}
      - secret:
          name: {{ $reference.name | quote }}
          items:
            - {key: {{ $reference.key }}, path: {{ $name }}}
      {{- end }}
{{- end }}
{{- with .root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
Annotations of a hook, of Helm or of Argo CD, which would run Helm's hooks before its first sync wave.
Arguments: root; helm and argocd, the events; wave, the order among hooks of one event.
*/}}
{{- define "web.hook" -}}
{{- if eq .root.Values.migrations.hook "argocd" -}}
argocd.argoproj.io/hook: {{ .argocd }}
argocd.argoproj.io/hook-delete-policy: BeforeHookCreation
argocd.argoproj.io/sync-wave: {{ .wave | quote }}
{{- else -}}
helm.sh/hook: {{ .helm }}
helm.sh/hook-weight: {{ .wave | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
{{- end }}
