# SPDX-License-Identifier: Apache-2.0
"""Settings files as users of distribution have them."""

from __future__ import annotations

# Every section that a mature installation of distribution 2.8 or 3 tends to have.
DISTRIBUTION = """\
version: 0.1
log:
  accesslog:
    disabled: true
  level: debug
  formatter: text
  fields:
    service: registry
    environment: staging
  hooks:
    - type: mail
      levels: [panic]
      options:
        smtp: {addr: "mail.example.com:25", username: u, password: mail-secret}
storage:
  filesystem:
    rootdirectory: /var/lib/registry
    maxthreads: 100
  cache:
    blobdescriptor: redis
  delete:
    enabled: false
  tag:
    concurrencylimit: 8
  redirect:
    disable: true
  maintenance:
    uploadpurging: {enabled: true, age: 168h, interval: 24h, dryrun: false}
    readonly: {enabled: false}
auth:
  htpasswd:
    realm: basic-realm
    path: /etc/registry/htpasswd
http:
  addr: :5000
  secret: http-secret-of-sixteen-or-more
  relativeurls: true
  draintimeout: 60s
  tls:
    certificate: /etc/tls/cert.pem
    key: /etc/tls/key.pem
    clientcas: [/etc/tls/ca.pem]
    clientauth: require-and-verify-client-cert
  debug:
    addr: localhost:5001
    prometheus: {enabled: true, path: /metrics}
  headers:
    X-Content-Type-Options: [nosniff]
  http2:
    disabled: false
notifications:
  events: {includereferences: true}
  endpoints:
    - name: listener
      url: https://listener.example.com/event
      headers: {Authorization: [Bearer hook-secret]}
      timeout: 1s
redis:
  addrs: [localhost:6379]
  password: redis-secret
health:
  storagedriver: {enabled: true, interval: 10s, threshold: 3}
proxy:
  remoteurl: https://hub.example.com
  username: user
  password: proxy-secret
  ttl: 168h
"""

NAMED_IN_WARNINGS = (
    "log.hooks",
    "storage.filesystem.maxthreads",
    "storage.cache",
    "storage.tag",
    "http.debug",
    "notifications",
    "redis",
    "health",
    "proxy",
)
