# SPDX-License-Identifier: Apache-2.0
"""Random sequences of requests against a plain model of what the registry should hold."""
