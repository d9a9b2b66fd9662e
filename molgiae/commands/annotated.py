"""Records as they were read, with what a command has to say of them."""

from __future__ import annotations

from collections.abc import Mapping

from molgiae.data.conformer import Conformer
from molgiae.data.toolkits import with_table
from molgiae.data.writers import StructureWriter


def annotate(writer: StructureWriter, conformer: Conformer, properties: Mapping[str, str]) -> None:
    """Write a record to the letter with further properties, of which empty ones are left out.

    Where it comes without a table, as from XYZ and HDF5, an SDF gets one with its bonds, known or perceived.
    """
    found = {key: value for key, value in properties.items() if value}
    record = with_table(conformer) if writer.keeps_tables else conformer
    if record is conformer:
        writer.annotate(conformer, found)
    else:
        writer.write(record, properties=found)
