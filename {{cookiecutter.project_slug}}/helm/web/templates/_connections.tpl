{{/*
Fail if the release can open more than database.maxConnections.

In a rolling update, up to maxReplicas + maxSurge pods serve, and as many pods as maxSurge drain: a pod
drains for about as long as its replacement starts. Workers are not replaced one after the other, so
that all old and new ones can run at a time, unless their strategy is Recreate. The migration holds its lock
on a separate connection.
*/}}
{{- define "web.checkConnections" -}}
{{- $settings := include "web.config" . | fromYaml }}
{{- $replicas := include "web.maxReplicas" . | int }}
{{- $surge := .Values.maxSurge }}
{{- if kindIs "string" $surge }}
{{- $surge = divf (mulf $replicas (trimSuffix "%" $surge)) 100 | ceil }}
{{- end }}
{{- $pods := add $replicas (mul 2 $surge) }}
{{- $server := mul $pods $settings.WEB_CONCURRENCY (sub $settings.WEB_THREADS 1 | max 1) }}
{{- $workers := 0 }}
{{- range .Values.workers }}
{{- if dig "enabled" true . }}
{{- $revisions := eq (dig "strategy" "type" "" .) "Recreate" | ternary 1 2 }}
{{- $workers = mul $revisions (dig "replicas" 1 .) (dig "databaseConnections" 1 .) | add $workers }}
{{- end }}
{{- end }}
{{- $commands := .Values.migrations.enabled | ternary 2 0 }}
{{- range concat (values .Values.cronJobs) (values .Values.jobs) }}
{{- $commands = dig "enabled" true . | ternary 1 0 | add $commands }}
{{- end }}
{{- $sum := add $server $workers $commands }}
{{- $maximum := int64 .Values.database.maxConnections }}
{{- if gt $sum $maximum }}
{{- $source := .Values.autoscaling.enabled | ternary "autoscaling.maxReplicas" "replicaCount" }}
{{- $pods = printf "%d pods (%s %d + 2 x maxSurge %v)" $pods $source $replicas $surge }}
{{- $each := printf "server.workers %s x (server.threads %s - 1)" $settings.WEB_CONCURRENCY $settings.WEB_THREADS }}
{{- $parts := printf "%d by %s x %s, %d by workers, %d by the migration, cronJobs and jobs" $server $pods $each $workers $commands }}
{{- fail (printf "database.maxConnections: the release can open %d connections, more than %d: %s; lower the number of pods, workers or threads" $sum $maximum $parts) }}
{{- end }}
{{- end }}
