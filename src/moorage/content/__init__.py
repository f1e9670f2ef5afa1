# SPDX-License-Identifier: Apache-2.0
"""Repositories, blobs, uploads, manifests, tags and referrers: what the registry holds and does.

Each service says in the field's words what can be done; statements stand beside the service that
runs them. Nothing here knows HTTP requests or who may do what.
"""
