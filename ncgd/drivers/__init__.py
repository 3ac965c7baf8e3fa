"""The only code that touches another program or the kernel.

Each folder owns some tables: it reads them, writes deltas, and sends events to the mailbox. Drivers decide
nothing, retry nothing, and do not know one another. Reconnecting is their job, and announces itself as an
event that makes its tables unread.
"""
