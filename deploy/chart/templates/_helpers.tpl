{{- define "governance.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "governance.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "governance.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "governance.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "governance.selector" -}}
app.kubernetes.io/name: {{ include "governance.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "governance.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "governance.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "governance.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "governance.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "governance.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* Nothing but the program: no root, no writing beside /tmp, no rights. */}}
{{- define "governance.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "governance.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Secrets by reference. */}}
{{- define "governance.secretEnv" -}}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef: {name: {{ .Values.stores.existingSecret }}, key: DATABASE_URL}
- name: REDIS_URL
  valueFrom:
    secretKeyRef: {name: {{ .Values.stores.existingSecret }}, key: REDIS_URL}
- name: GOVERNANCE_ENCRYPTION_KEY
  valueFrom:
    secretKeyRef: {name: {{ .Values.keys.existingSecret }}, key: GOVERNANCE_ENCRYPTION_KEY}
- name: GOVERNANCE_ADMIN_TOKEN
  valueFrom:
    secretKeyRef: {name: {{ .Values.keys.existingSecret }}, key: GOVERNANCE_ADMIN_TOKEN, optional: true}
{{- end }}
