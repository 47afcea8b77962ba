import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * What HikariCP does with pgjdbc: connections are held for long, validated before each use (by an empty query and by
 * SELECT 1), given back with their transaction rolled back and their settings reset, and keep their prepared statements.
 */
public final class Pool {
    private static final int CONNECTIONS = 6;
    private static final int BORROWERS = 12;
    private static final int ROUNDS = 40;

    private final BlockingQueue<Connection> idle = new ArrayBlockingQueue<>(CONNECTIONS);

    public static void main(String[] arguments) throws Exception {
        Pool pool = new Pool();
        for (int number = 0; number < CONNECTIONS; number++) {
            pool.idle.add(connect());
        }
        ExecutorService borrowers = Executors.newFixedThreadPool(BORROWERS);
        List<Future<?>> work = new ArrayList<>();
        for (int number = 0; number < BORROWERS; number++) {
            int seed = number;
            work.add(borrowers.submit(() -> {
                for (int round = 0; round < ROUNDS; round++) {
                    pool.use(1 + seed * ROUNDS + round);
                }
                return null;
            }));
        }
        // Nothing more comes; a failure must not leave their threads, and with them the program, waiting.
        borrowers.shutdown();
        for (Future<?> one : work) {
            one.get();
        }
        for (Connection connection : pool.idle) {
            connection.close();
        }
        System.out.println("all of it holds");
    }

    private static Connection connect() throws SQLException {
        Properties settings = new Properties();
        settings.setProperty("user", "analyst");
        settings.setProperty("password", System.getenv("ANALYST"));
        settings.setProperty("sslmode", "disable");
        settings.setProperty("prepareThreshold", "3");
        settings.setProperty("preparedStatementCacheQueries", "256");
        settings.setProperty("ApplicationName", "pool");
        return DriverManager.getConnection("jdbc:postgresql://127.0.0.1:" + System.getenv("GRILLE_PORT") + "/clinic", settings);
    }

    private void use(int id) throws Exception {
        Connection connection = idle.take();
        try {
            check(connection.isValid(30), "the connection is valid");
            check(one(connection, "SELECT 1", null).equals("1"), "SELECT 1");
            connection.setAutoCommit(false);
            connection.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
            connection.setReadOnly(id % 2 == 0);
            check(one(connection, "SELECT ssn FROM patients WHERE id = ?", id).equals("[redacted]"), "patient " + id);
            if (id % 5 == 0) {
                fails(connection, "42501", "DELETE FROM intake_drafts");
            } else if (id % 7 == 0) {
                fails(connection, "22012", "SELECT 1 / 0");
            }
            connection.rollback();
            connection.setReadOnly(false);
            connection.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
            connection.setAutoCommit(true);
            check(one(connection, "SHOW transaction_read_only", null).equals("off"), "the settings are back");
        } finally {
            idle.add(connection);
        }
    }

    private static String one(Connection connection, String text, Integer id) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(text)) {
            if (id != null) {
                statement.setLong(1, id);
            }
            try (ResultSet rows = statement.executeQuery()) {
                check(rows.next(), "a row for " + text);
                return rows.getString(1);
            }
        }
    }

    private static void fails(Connection connection, String state, String text) {
        try (PreparedStatement statement = connection.prepareStatement(text)) {
            statement.execute();
        } catch (SQLException error) {
            check(state.equals(error.getSQLState()), error.toString());
            return;
        }
        throw new AssertionError(text + " did not fail");
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }
}
