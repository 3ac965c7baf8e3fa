"""The process: settings, wiring (the only place that names concrete drivers), the mailbox, the loop, supervision."""
