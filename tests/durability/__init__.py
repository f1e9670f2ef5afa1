# SPDX-License-Identifier: Apache-2.0
"""What was acknowledged is kept: kills, syncs, full disks, restarts."""
