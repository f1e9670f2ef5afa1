{{/* SPDX-License-Identifier: Apache-2.0 */}}
{{/* What things are called, and the settings that the replicas share. */}}

{{- define "moorage.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "moorage.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "moorage.labels" -}}
{{ include "moorage.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "moorage.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "moorage.name" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "moorage.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{/* The configuration file: what the chart knows, under what the values say. */}}
{{- define "moorage.settings" -}}
{{- $postgres := dict "url" (required "database.url is missing: replicas share a PostgreSQL database" .Values.database.url) -}}
{{- if .Values.database.passwordSecret.name -}}
{{- $_ := set $postgres "passwordfile" "/run/secrets/moorage/database/password" -}}
{{- end -}}
{{- $http := dict "addr" ":5000" "workers" (int .Values.workers) "draindelay" (printf "%ds" (int .Values.drain.delay)) "draintimeout" (printf "%ds" (int .Values.drain.timeout)) -}}
{{- if .Values.tls.secretName -}}
{{- $_ := set $http "tls" (dict "certificate" "/run/secrets/moorage/tls/tls.crt" "key" "/run/secrets/moorage/tls/tls.key") -}}
{{- end -}}
{{- $base := dict "version" "0.1" "log" (dict "formatter" "json") "database" (dict "postgres" $postgres) "http" $http -}}
{{- if .Values.htpasswd.name -}}
{{- $_ := set $base "auth" (dict "htpasswd" (dict "path" "/run/secrets/moorage/htpasswd/htpasswd")) -}}
{{- end -}}
{{- $storage := default dict .Values.settings.storage -}}
{{- if not (or (hasKey $storage "s3") (hasKey $storage "s3aws") (hasKey $storage "gcs") (hasKey $storage "azure")) -}}
{{- fail "settings.storage needs s3, gcs or azure: replicas share an object store" -}}
{{- end -}}
{{- mergeOverwrite $base (deepCopy .Values.settings) | toYaml -}}
{{- end -}}
