import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;
import java.util.regex.Pattern;

import org.postgresql.PGConnection;
import org.postgresql.PGStatement;
import org.postgresql.copy.CopyManager;

/**
 * pgjdbc against the gateway: statements described once and named after five uses, fetch size as row limits of a
 * portal, batches, savepoints, metadata, cancel from another thread.
 */
public final class Jdbc {
    private static final Pattern SSN = Pattern.compile("\\d{3}-\\d{2}-\\d{4}");
    private static final String REFUSED = "DELETE FROM intake_drafts";
    private static final String HELD = "UPDATE intake_drafts SET state = 'all'";

    private interface Act {
        void run() throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        try (Connection analyst = connect("analyst", "autosave", "never"); Connection dba = connect("dba", "autosave", "never")) {
            namedAfterFiveUses(analyst);
            fetchSizeInATransaction(analyst);
            refusalInATransaction(analyst);
            batches(analyst);
            copies(analyst);
            metadata(analyst);
            metadata(dba);
            holdThenCancel(analyst);
            check(SSN.matcher(one(dba, "SELECT ssn FROM patients WHERE id = 1")).matches(), "the dba sees clear values");
        }
        // With autosave the driver sets a savepoint before each statement and takes a refused one back by itself.
        try (Connection analyst = connect("analyst", "autosave", "always")) {
            analyst.setAutoCommit(false);
            check(one(analyst, "SELECT count(*) FROM intake_drafts").equals("300"), "before");
            fails("42501", () -> analyst.createStatement().execute(REFUSED));
            check(one(analyst, "SELECT count(*) FROM intake_drafts").equals("300"), "autosave takes the refusal back");
            analyst.commit();
        }
        for (String mode : new String[] {"simple", "extended", "extendedForPrepared", "extendedCacheEverything"}) {
            try (Connection analyst = connect("analyst", "preferQueryMode", mode)) {
                for (int use = 0; use < 7; use++) {
                    check(one(analyst, "SELECT ssn FROM patients WHERE id = 3").equals("[redacted]"), mode);
                }
                fails("42501", () -> analyst.createStatement().execute(REFUSED));
                check(one(analyst, "SELECT 1").equals("1"), mode);
            }
        }
        System.out.println("all of it holds");
    }

    private static Connection connect(String account, String key, String value) throws SQLException {
        Properties settings = new Properties();
        settings.setProperty("user", account);
        settings.setProperty("password", System.getenv(account.toUpperCase()));
        settings.setProperty("sslmode", System.getenv().getOrDefault("PGSSLMODE", "disable"));
        settings.setProperty("sslrootcert", System.getenv().getOrDefault("PGSSLROOTCERT", ""));
        settings.setProperty(key, value);
        return DriverManager.getConnection("jdbc:postgresql://localhost:" + System.getenv("GRILLE_PORT") + "/clinic", settings);
    }

    private static void namedAfterFiveUses(Connection analyst) throws SQLException {
        String text = "SELECT id, ssn, birth_date, balance, created_at FROM patients WHERE id = ?";
        try (PreparedStatement statement = analyst.prepareStatement(text)) {
            for (int id = 1; id <= 12; id++) {
                statement.setLong(1, id);
                try (ResultSet rows = statement.executeQuery()) {
                    check(rows.next() && rows.getLong(1) == id, "patient " + id);
                    check(rows.getString(2).equals("[redacted]"), "ssn of " + id + ": " + rows.getString(2));
                    String born = rows.getString(3);
                    check(born == null || born.endsWith("-01-01"), "birth date of " + id + ": " + born);
                    check(rows.getBigDecimal(4) != null, "balance of " + id);
                }
            }
            check(statement.unwrap(PGStatement.class).isUseServerPrepare(), "the driver has switched to a named statement");
        }
    }

    private static void fetchSizeInATransaction(Connection analyst) throws SQLException {
        analyst.setAutoCommit(false);
        try (Statement statement = analyst.createStatement()) {
            statement.setFetchSize(300);
            int seen = 0;
            try (ResultSet rows = statement.executeQuery("SELECT id, ssn FROM patients ORDER BY id")) {
                while (rows.next()) {
                    check(rows.getLong(1) == ++seen && rows.getString(2).equals("[redacted]"), "row " + seen);
                    if (seen == 450) {
                        // Another portal in the middle of the first.
                        check(one(analyst, "SELECT count(*) FROM patients").equals("20000"), "a second portal");
                    }
                }
            }
            check(seen == 20_000, seen + " rows");
        }
        analyst.commit();
        analyst.setAutoCommit(true);
    }

    private static void refusalInATransaction(Connection analyst) throws Exception {
        analyst.setAutoCommit(false);
        try (Statement statement = analyst.createStatement()) {
            statement.executeUpdate("INSERT INTO intake_drafts VALUES (9001, 'desk', current_date, 'open')");
            fails("42501", () -> statement.executeUpdate(REFUSED));
            fails("25P02", () -> statement.executeQuery("SELECT 1"));
        }
        analyst.rollback();
        check(one(analyst, "SELECT count(*) FROM intake_drafts").equals("300"), "rolled back");
        analyst.commit();
        analyst.setAutoCommit(true);
    }

    private static void batches(Connection analyst) throws Exception {
        analyst.setAutoCommit(false);
        String insert = "INSERT INTO intake_drafts VALUES (?, 'desk', current_date, 'open')";
        try (PreparedStatement statement = analyst.prepareStatement(insert)) {
            add(statement, 9100, 400);
            int[] counts = statement.executeBatch();
            check(counts.length == 400 && counts[399] == 1, "a batch of 400");
            add(statement, 9600, 2);
            add(statement, 1, 1);
            add(statement, 9700, 2);
            fails("23505", statement::executeBatch);
        }
        analyst.rollback();
        // A refusal in the middle of a pipeline.
        try (Statement statement = analyst.createStatement()) {
            statement.addBatch("INSERT INTO intake_drafts VALUES (9001, 'desk', current_date, 'open')");
            statement.addBatch(REFUSED);
            statement.addBatch("INSERT INTO intake_drafts VALUES (9002, 'desk', current_date, 'open')");
            fails("42501", statement::executeBatch);
        }
        analyst.rollback();
        check(one(analyst, "SELECT count(*) FROM intake_drafts").equals("300"), "nothing of the batches stayed");
        analyst.commit();
        analyst.setAutoCommit(true);
    }

    private static void add(PreparedStatement statement, int from, int count) throws SQLException {
        for (int id = from; id < from + count; id++) {
            statement.setInt(1, id);
            statement.addBatch();
        }
    }

    private static void copies(Connection analyst) throws Exception {
        CopyManager manager = analyst.unwrap(PGConnection.class).getCopyAPI();
        java.io.StringWriter out = new java.io.StringWriter();
        long rows = manager.copyOut("COPY (SELECT id, ssn FROM patients) TO STDOUT (FORMAT csv)", out);
        check(rows == 20_000 && !SSN.matcher(out.toString()).find(), rows + " rows copied");
        analyst.createStatement().execute("CREATE TEMP TABLE copied (id int, word text)");
        StringBuilder in = new StringBuilder();
        for (int id = 0; id < 5000; id++) {
            in.append(id).append("\tword ").append(id).append('\n');
        }
        check(manager.copyIn("COPY copied FROM STDIN", new java.io.StringReader(in.toString())) == 5000, "copied in");
        check(one(analyst, "SELECT sum(id) FROM copied").equals("12497500"), "copied rows");
    }

    /** What tools ask first: DBeaver, Tableau and most ORMs on the JVM go through these. */
    private static void metadata(Connection session) throws SQLException {
        java.sql.DatabaseMetaData meta = session.getMetaData();
        check(count(meta.getSchemas()) > 1, "schemas");
        check(count(meta.getTables(null, "public", "%", new String[] {"TABLE", "VIEW"})) > 3, "tables");
        check(count(meta.getColumns(null, "public", "patients", "%")) == 21, "columns of patients");
        check(count(meta.getPrimaryKeys(null, "public", "patients")) == 1, "primary key of patients");
        check(count(meta.getIndexInfo(null, "public", "patients", false, true)) >= 3, "indexes of patients");
        check(count(meta.getImportedKeys(null, "public", "encounters")) == 2, "foreign keys of encounters");
        check(count(meta.getExportedKeys(null, "public", "patients")) >= 1, "who refers to patients");
        check(count(meta.getFunctions(null, "public", "%")) >= 1, "functions");
        check(count(meta.getProcedures(null, null, "%")) >= 0, "procedures");
        check(count(meta.getTypeInfo()) > 10, "types");
        check(count(meta.getTablePrivileges(null, "public", "patients")) >= 1, "privileges");
        check(count(meta.getCatalogs()) >= 1, "catalogs");
        check(meta.getMaxColumnNameLength() == 63, "the length of names");
        check(meta.getSQLKeywords() != null, "keywords");
    }

    private static void holdThenCancel(Connection analyst) throws Exception {
        try (Statement held = analyst.createStatement()) {
            Thread canceller = new Thread(() -> {
                try {
                    // The gateway says by a NOTICE that it holds.
                    while (held.getWarnings() == null) {
                        Thread.sleep(20);
                    }
                    held.cancel();
                } catch (SQLException | InterruptedException error) {
                    throw new IllegalStateException(error);
                }
            });
            canceller.start();
            fails("57014", () -> held.execute(HELD));
            canceller.join();
        }
        check(one(analyst, "SELECT count(*) FROM intake_drafts WHERE state = 'all'").equals("0"), "the update never ran");
    }

    private static String one(Connection session, String text) throws SQLException {
        try (Statement statement = session.createStatement(); ResultSet rows = statement.executeQuery(text)) {
            check(rows.next(), "a row for " + text);
            return rows.getString(1);
        }
    }

    private static int count(ResultSet rows) throws SQLException {
        int count = 0;
        while (rows.next()) {
            count++;
        }
        rows.close();
        return count;
    }

    private static void fails(String state, Act act) throws Exception {
        try {
            act.run();
        } catch (BatchUpdateException error) {
            check(state.equals(error.getSQLState()), error.toString());
            return;
        } catch (SQLException error) {
            check(state.equals(error.getSQLState()), error.getSQLState() + ": " + error);
            return;
        }
        throw new AssertionError("nothing failed with " + state);
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }
}
