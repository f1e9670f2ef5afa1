# SPDX-License-Identifier: Apache-2.0
"""Tests of `moorage.spec`: one module each, tables of cases first, properties after."""
