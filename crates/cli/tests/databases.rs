//! A database as a new user meets it: a file that says where it is, `conns discover --write`, `build`.

use thalweg_testkit::{Answer, MariadbServer, PostgresServer, Program, TestProject, WrittenProject};

use crate::PROGRAM;

/// A record shop as people draw it in courses: capitals, national characters, references, a table of pairs, a table without a key, no
/// column that tells changes.
fn shop(quote: char) -> String {
    let text = "create table `Artist` (`ArtistId` INT NOT NULL, `Name` NVARCHAR(120), CONSTRAINT `PK_Artist` PRIMARY KEY (`ArtistId`));
        create table `Album` (`AlbumId` INT NOT NULL, `Title` NVARCHAR(160) NOT NULL, `ArtistId` INT NOT NULL, PRIMARY KEY (`AlbumId`),
            FOREIGN KEY (`ArtistId`) REFERENCES `Artist` (`ArtistId`));
        create table `Employee` (`EmployeeId` INT NOT NULL, `LastName` NVARCHAR(20) NOT NULL, `ReportsTo` INT, `BirthDate` DATETIME,
            PRIMARY KEY (`EmployeeId`), FOREIGN KEY (`ReportsTo`) REFERENCES `Employee` (`EmployeeId`));
        create table `InvoiceLine` (`InvoiceLineId` INT NOT NULL, `UnitPrice` NUMERIC(10,2) NOT NULL, `Quantity` INT NOT NULL,
            PRIMARY KEY (`InvoiceLineId`));
        create table `PlaylistTrack` (`PlaylistId` INT NOT NULL, `TrackId` INT NOT NULL, PRIMARY KEY (`PlaylistId`, `TrackId`));
        create table `Order` (`Group` INT, `Key` NVARCHAR(10));
        insert into `Artist` values (1, N'Nação Zumbi'), (2, N'Motörhead'), (3, NULL);
        insert into `Album` values (1, N'Afrociberdelia', 1), (2, N'It''s \"live\"', 2);
        insert into `Employee` values (1, N'Adams', NULL, '1962-02-18 00:00:00'), (2, N'Edwards', 1, NULL);
        insert into `InvoiceLine` values (1, 0.99, 1), (2, 1.99, 3);
        insert into `PlaylistTrack` values (1, 1), (1, 2), (2, 1);
        insert into `Order` values (1, N'a'), (1, N'a'), (NULL, NULL)";
    if quote == '`' {
        return text.to_owned();
    }
    let text = text.replace('"', "''").replace('`', "\"");
    text.replace("NVARCHAR", "VARCHAR").replace("DATETIME", "TIMESTAMP").replace("N'", "'")
}

fn run(project: &WrittenProject, arguments: &[&str]) -> Answer {
    let answer = Program::new(PROGRAM).run(project, arguments);
    assert_eq!(answer.code, Some(0), "{arguments:?}: {answer}");
    answer
}

fn from_a_file_without_streams(kind: &str, url: &str, change: &dyn Fn(&str)) {
    let quote = if kind == "postgres" { '"' } else { '`' };
    change(&shop(quote));
    let project = TestProject::new()
        .file("thalweg.yml", "name: music\n")
        .file("sources/music.yml", format!("# The shop.\ntype: {kind}\nurl: {url}\n"))
        .write();
    run(&project, &["validate"]);
    run(&project, &["conns", "test"]);
    let told = run(&project, &["conns", "discover", "music", "--write"]);
    assert!(told.stderr.contains("sources/music.yml: 6 streams for 6 tables"), "{told}");
    let written = project.read("sources/music.yml");
    assert!(written.starts_with(&format!("# The shop.\ntype: {kind}\nurl: {url}\nstreams:\n")), "{written}");
    run(&project, &["validate"]);
    run(&project, &["build"]);
    let rows = |sql: &str| run(&project, &["show", sql, "--json"]).stdout;
    assert_eq!(
        rows("select artist_id, name from store.artist order by 1"),
        "{\"artist_id\":1,\"name\":\"Nação Zumbi\"}\n{\"artist_id\":2,\"name\":\"Motörhead\"}\n{\"artist_id\":3,\"name\":null}\n"
    );
    assert!(rows("select * from store.employee order by 1").contains("\"birth_date\":\"1962-02-18T00:00:00\""));
    assert_eq!(
        rows("select sum(unit_price * quantity) as total, count(*) as lines from store.invoice_line"),
        "{\"total\":6.96,\"lines\":2}\n"
    );
    assert_eq!(
        rows("select count(*) as n, count(\"group\") as grouped from store.\"order\""),
        "{\"n\":3,\"grouped\":2}\n"
    );

    let spelled = |sql: &str| change(&sql.replace('`', &quote.to_string()));
    spelled("update `Album` set `Title` = 'Live' where `AlbumId` = 2");
    spelled("delete from `PlaylistTrack` where `TrackId` = 2");
    spelled("delete from `Order` where `Group` is null");
    let built = run(&project, &["build", "--json"]);
    assert!(built.stdout.contains("\"updated\":1"), "{built}");
    assert_eq!(rows("select title from store.album where album_id = 2"), "{\"title\":\"Live\"}\n");
    assert_eq!(rows("select count(*) as n from store.playlist_track"), "{\"n\":2}\n");
    assert_eq!(rows("select count(*) as n from store.\"order\""), "{\"n\":2}\n");
    run(&project, &["verify"]);
    let again = Program::new(PROGRAM).run(&project, ["conns", "discover", "music", "--write"]);
    assert!(again.code == Some(2) && again.stderr.contains("has streams already"), "{again}");
}

#[test]
fn a_postgres_without_preparation() {
    let database = PostgresServer::shared().database();
    from_a_file_without_streams("postgres", &database.url(), &|sql| {
        database.run(sql);
    });
}

#[test]
fn a_mariadb_without_preparation() {
    let database = MariadbServer::shared().database();
    // What the user may see besides is not meant.
    MariadbServer::shared().database().run("create table other (id int primary key)");
    from_a_file_without_streams("mariadb", &database.url(), &|sql| {
        database.run(sql);
    });
}
