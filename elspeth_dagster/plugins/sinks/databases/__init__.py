"""What the `database` sink knows of databases: URLs, connections, tables, bulk inserts."""
