# SPDX-License-Identifier: Apache-2.0
"""Several replicas of one registry, tested as one."""
