use std::time::{Duration, Instant};

use super::*;

fn mail(bytes: &[u8]) -> Result<Extracted, ExtractFailure> {
    extract(bytes, &ExtractOptions::default())
}

fn text(bytes: &[u8]) -> String {
    mail(bytes).unwrap().text
}

/// A mail of parts, each with its own header.
fn parts(parts: &[&str]) -> String {
    let parts: String = parts.iter().map(|part| format!("--b\n{part}\n")).collect();
    format!("Subject: Parts\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n{parts}--b--\n")
}

#[test]
fn an_order_keeps_its_header_its_plain_body_and_what_is_attached() {
    let extracted = mail(include_bytes!("../../../../fixtures/documents-office/order-mail.eml")).unwrap();
    assert_eq!(extracted.title.as_deref(), Some("Bestellung für Köln"));
    insta::assert_snapshot!(extracted.text, @r#"
    Subject: Bestellung für Köln
    From: Einkäufer <buyer@customer.example>
    To: Orders <orders@ondervane.example>, dac@ondervane.example
    Cc: archive@customer.example
    Date: 2026-03-03 10:00:00+01:00

    Guten Tag,

    wir bestellen 3 Windfahnen für Köln.

    > Wie viele?

    -- 
    Einkauf

    ## Attachment: Kontakte Köln.csv

    Contacts of the desks

    | Desk | Town | Telephone | Hours |
    | --- | --- | --- | --- |
    | NAM desk 1 | Montréal; Laval | +1 555 0100 | 9–17 |
    | DAC desk 2 | Köln | +49 30 0000 | 8–16, not on "Rosenmontag" |
    | SEU desk 1 | Málaga | +34 555 010 |  |

    ## Attachment: map.gif

    (not read: a picture (GIF))

    ## Attachment: Recall

    Subject: Recall
    From: Service desk <service@ondervane.example>
    To: buyers@customer.example
    Date: 2026-03-02 09:15:00+01:00

    Please read the letter.

    #### Attachment: letter.doc

    ##### Recall of bearings

    Dear customers,

    the bearings of lot Köln 7 wear out early[^1]. Send us your anemometer; we pay the freight.

    [^1] Below −15 °C only.

    ###### What to send

    - the anemometer
    - the papers:
      1. the certificate
      2. this letter (письмо)

    ###### When

    | Lot | Free until |
    | --- | --- |
    | 7 | 31 December 2026 |

    With kind regards
    The service desk
    "#);
}

#[test]
fn a_saved_page_is_its_page() {
    let extracted = mail(include_bytes!("../../../../fixtures/documents-office/frost-page.mht")).unwrap();
    assert_eq!(extracted.title.as_deref(), Some("Frost warnings"));
    insta::assert_snapshot!(extracted.text, @"
    Subject: Frost warnings
    From: Saved by a browser
    Date: 2026-03-04 08:00:00Z

    # Frost warnings

    - at two degrees
    - über Nacht
    ");
}

#[test]
fn any_encoding_is_read_told_or_not() {
    let body = |header: &str, bytes: &[u8]| text(&[b"Subject: x\n", header.as_bytes(), b"\n\n", bytes].concat());
    let expected = "Subject: x\n\nGrüße aus der schönen Stadt Köln\n";
    let (latin, _, _) = encoding_rs::WINDOWS_1252.encode("Grüße aus der schönen Stadt Köln\n");
    assert_eq!(body("Content-Type: text/plain; charset=windows-1252", &latin), expected);
    assert_eq!(body("Content-Type: text/plain", &latin), expected);
    let quoted = b"Gr=FC=DFe aus der sch=F6nen Stadt K=F6ln\n";
    assert_eq!(body("Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable", quoted), expected);
    let (chinese, _, _) = encoding_rs::GBK.encode("霜冻警报");
    assert_eq!(body("Content-Type: text/plain; charset=gb2312", &chinese), "Subject: x\n\n霜冻警报\n");
}

#[test]
fn a_body_that_is_empty_in_plain_text_is_taken_from_its_html() {
    let alternative = "Content-Type: multipart/alternative; boundary=a\n\n--a\nContent-Type: text/plain\n\n \n--a\n\
                       Content-Type: text/html\n\n<h1>Frost</h1>\n--a--";
    assert_eq!(text(parts(&[alternative]).as_bytes()), "Subject: Parts\n\n# Frost\n");
}

#[test]
fn an_attachment_that_cannot_be_read_says_why_and_spoils_nothing() {
    let program = "Content-Type: application/octet-stream; name=setup.exe\nContent-Transfer-Encoding: base64\n\nTVqQAAMAAAAEAAAA//8AAA==";
    let book = "Content-Type: application/epub+zip; name=\"../a\\b.epub\"\nContent-Disposition: attachment\n\nno book";
    let sheet = "Content-Type: application/octet-stream; name=x.xlsx\nContent-Transfer-Encoding: base64\n\nUEsDBA==";
    let note = "Content-Type: text/plain; name=note.txt\nContent-Disposition: attachment\n\nRead me.";
    insta::assert_snapshot!(text(parts(&["\nHello.", program, book, sheet, note]).as_bytes()), @"
    Subject: Parts

    Hello.

    ## Attachment: setup.exe

    (not read: a Windows program)

    ## Attachment: ../ab.epub

    no book

    ## Attachment: x.xlsx

    (not read: The spreadsheet is damaged and cannot be read (Could not find EOCD). Export it again and upload the new file)

    ## Attachment: note.txt

    Read me.
    ");
}

#[test]
fn mails_within_mails_are_read_two_levels_deep() {
    let letter = |number: usize, inner: &str| match inner {
        "" => format!("Subject: Level {number}\n\nBody {number}.\n"),
        inner => format!(
            "Subject: Level {number}\nContent-Type: multipart/mixed; boundary=b{number}\n\n--b{number}\n\nBody {number}.\n\
             --b{number}\nContent-Type: message/rfc822\n\n{inner}\n--b{number}--\n"
        ),
    };
    let nested = (0..6).rev().fold(String::new(), |inner, number| letter(number, &inner));
    let text = text(nested.as_bytes());
    assert!(text.contains("Body 2.") && !text.contains("Body 3."), "{text}");
    assert!(text.contains("(not read: it lies in too many mails)"));
    let encoded = |inner: &str| {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(inner)
    };
    let nested = (0..8).fold("Subject: Inmost\n\nBody.".to_owned(), |inner, _| {
        parts(&[&format!("Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n{}", encoded(&inner))])
    });
    assert!(mail(nested.as_bytes()).is_ok());
}

#[test]
fn a_thousand_attachments_are_a_hundred() {
    let note = "Content-Type: text/plain; name=n.txt\nContent-Disposition: attachment\n\nRead me.";
    let text = text(parts(&vec![note; 1000]).as_bytes());
    assert_eq!(text.matches("Read me.").count(), 100);
    assert!(text.ends_with("(900 more attachments were not read)\n"));
}

#[test]
fn attachments_share_the_text_of_one_document() {
    let long =
        format!("Content-Type: text/plain; name=n.txt\nContent-Disposition: attachment\n\n{}", "x".repeat(20 << 20));
    let text = text(parts(&[&long, &long]).as_bytes());
    assert!(text.len() < 21 << 20 && text.contains("(not read: the mail would have more text"));
}

#[test]
fn parts_nested_without_end_are_refused_quickly() {
    let started = Instant::now();
    for part in ["Content-Type: message/rfc822\n\n", "Content-Type: multipart/mixed; boundary=b\n\n--b\n"] {
        let failure = mail(format!("Subject: x\n{}", part.repeat(100_000)).as_bytes()).unwrap_err();
        assert_eq!(failure.code, ExtractCode::TooLarge);
        assert!(mail(format!("Subject: x\n{}", part.repeat(990)).as_bytes()).is_ok());
    }
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn an_encrypted_mail_is_encrypted_unless_something_can_be_read() {
    let smime = "Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\nContent-Transfer-Encoding: base64\n\nMIAGCSqGSIb3DQEHA6CAMIACAQA=";
    let encrypted = |bytes: &str| mail(bytes.as_bytes()).map_err(|failure| failure.code);
    assert_eq!(encrypted(&format!("Subject: x\n{smime}")), Err(ExtractCode::Encrypted));
    let pgp = "Subject: x\nContent-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=b\n\n--b\n\
               Content-Type: application/pgp-encrypted\n\nVersion: 1\n--b\nContent-Type: application/octet-stream\n\n\
               -----BEGIN PGP MESSAGE-----\n\nhQEM\n-----END PGP MESSAGE-----\n--b--\n";
    assert_eq!(encrypted(pgp), Err(ExtractCode::Encrypted));
    assert_eq!(encrypted("Subject: x\n\n-----BEGIN PGP MESSAGE-----\n\nhQEM\n"), Err(ExtractCode::Encrypted));
    assert!(encrypted(&parts(&["\nHello.", smime])).unwrap().text.contains("Hello."));
}

#[test]
fn text_that_is_called_mail_is_text_and_noise_is_broken() {
    assert_eq!(text(b"It is cold."), "It is cold.");
    assert_eq!(mail(&[0, 1, 2, 3, 200, 201]).unwrap_err().code, ExtractCode::Broken);
}
