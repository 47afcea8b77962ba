"""SQLAlchemy over psycopg: reflection (its catalog queries), a mapped class, streamed results, savepoints."""

import peer
from sqlalchemy import URL, MetaData, create_engine, inspect, select, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.automap import automap_base
from sqlalchemy.orm import Session


def engine(account, **more):
    url = URL.create("postgresql+psycopg", account, peer.token(account), "127.0.0.1", peer.PORT, peer.DATABASE)
    return create_engine(url, connect_args={"sslmode": peer.SSLMODE}, **more)


def reflect(some):
    inspector = inspect(some)
    assert {"patients", "encounters", "intake_drafts"} <= set(inspector.get_table_names())
    assert inspector.get_view_names() == ["patient_overview"]
    assert inspector.get_materialized_view_names() == ["encounters_by_department"]
    assert len(inspector.get_columns("patients")) == 21
    assert inspector.get_pk_constraint("patients")["constrained_columns"] == ["id"]
    assert {key["referred_table"] for key in inspector.get_foreign_keys("encounters")} == {"patients", "providers"}
    assert "ssn" in inspector.get_view_definition("patient_overview")
    assert [index["column_names"] for index in inspector.get_indexes("patients")] != []
    assert inspector.get_sequence_names() == []
    inspector.get_enums()
    inspector.get_multi_check_constraints()
    metadata = MetaData()
    metadata.reflect(some, views=True)
    assert metadata.tables["patients"].c.ssn.type.python_type is str
    assert metadata.tables["patients"].comment is None
    assert metadata.tables["patients"].c.mrn.comment == "medical record number"
    return metadata


analyst, dba = engine("analyst"), engine("dba")
shapes = [{name: list(map(str, table.columns)) for name, table in reflect(one).tables.items()} for one in (analyst, dba)]
assert shapes[0] == shapes[1], "a masked session reads another catalog"

Base = automap_base()
Base.prepare(analyst)
Patient, Draft = Base.classes.patients, Base.classes.intake_drafts
with Session(analyst) as session:
    patients = session.scalars(select(Patient).where(Patient.id <= 20).order_by(Patient.id)).all()
    assert len(patients) == 20 and all(patient.ssn == "[redacted]" for patient in patients)
    assert all(encounter.patient_id == 1 for encounter in patients[0].encounters_collection)
    session.add_all(Draft(id=9000 + n, desk="desk", received_on="2026-01-01", state="open") for n in range(50))
    session.flush()
    try:
        with session.begin_nested():
            session.execute(text("DELETE FROM intake_drafts"))
        raise AssertionError("it was not refused")
    except ProgrammingError as error:
        assert error.orig.sqlstate == "42501", error
    assert session.scalar(text("SELECT count(*) FROM intake_drafts")) == 350
    session.rollback()
with analyst.connect().execution_options(yield_per=500) as stream:
    seen = [row.ssn for row in stream.execute(text("SELECT ssn FROM patients"))]
    assert len(seen) == 20_000 and set(seen) == {"[redacted]"}
with dba.connect() as session:
    assert peer.SSN.fullmatch(session.scalar(text("SELECT ssn FROM patients WHERE id = 1")))
    assert session.scalar(text("SELECT count(*) FROM intake_drafts")) == 300
peer.done()
