# SPDX-License-Identifier: Apache-2.0
"""Tests of what is logged, how, and what never is."""
