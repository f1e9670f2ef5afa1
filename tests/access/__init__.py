# SPDX-License-Identifier: Apache-2.0
"""Tests of who may enter: credentials, tokens, policy."""
