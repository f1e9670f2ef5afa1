# SPDX-License-Identifier: Apache-2.0
"""What the registry tells its operator while it runs: logs."""
