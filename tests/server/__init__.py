# SPDX-License-Identifier: Apache-2.0
"""Tests of the server: grammar, connections, files, TLS, processes."""
