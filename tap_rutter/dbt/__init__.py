"""A dbt package for the tables that the tap's streams become (``rutterctl dbt``, extra ``dbt``).

``package.py`` writes the folder: sources, staging models and tests follow from the catalog, and
``marts.py`` adds the models of ``package/`` whose streams and columns are there. ``command.py``
is the command.

dbt itself is not needed to write the package, and nothing here runs it. The room imports the tap's
catalog and schemas; only the command ``rutterctl`` imports it.
"""
