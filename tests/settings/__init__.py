# SPDX-License-Identifier: Apache-2.0
"""Tests of `moorage.settings`, through its public door wherever that shows the behaviour."""
