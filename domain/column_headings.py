"""Column headings that people use in files, by process and field. The most likely heading of a field comes first.

Headings are compared without case, accents, punctuation, and small words such as `of` and `de`, and with abbreviations
written out (`Rechnungs-Nr.` equals `Rechnungsnummer`). `intake/mapping/suggest_mapping.py` reads these lists.
"""

from collections.abc import Mapping, Sequence

Headings = Mapping[str, Sequence[str]]


def _listed(words: str) -> Sequence[str]:
    return tuple(" ".join(word.split()) for word in words.split(","))


_DUE = _listed(
    """
    due, due date, date due, payment due, payment due date, pay by, invoice due date, net due date, fällig, fällig
    am, fälligkeit, fälligkeitsdatum, fälligkeitstermin, zahlbar bis, zahlungsziel, nettofälligkeit, échéance, date
    échéance, date limite paiement, vencimiento, fecha vencimiento, scadenza, data scadenza, vencimento, data
    vencimento, vervaldatum, vervaldag, termin płatności, förfallodatum, forfaldsdato, forfallsdato, eräpäivä,
    splatnost, fizetési határidő, срок оплаты, 支払期日, 支払期限, 付款日期, fecha vto, fecha pago,
    vto, datum splatnosti, splatno, vade, vade tarihi, laskun eräpäivä, förfallodag, termin zapłaty, data płatności, à
    payer avant, дата оплаты, ημερομηνία λήξης, data vencto
    """
)
_NOTE = _listed(
    """
    note, notes, comment, comments, remark, remarks, memo, description, details, narrative, bemerkung, bemerkungen,
    notiz, kommentar, anmerkung, hinweis, remarque, remarques, commentaire, commentaires, observations, nota, notas,
    comentario, comentarios, observaciones, observação, observações, commento, opmerking, opmerkingen, toelichting,
    uwagi, anteckning, kommentti, poznámka, megjegyzés, примечание, комментарий, 備考, 备注
    """
)
# The currency of the document comes before the currency of the books.
_CURRENCY = _listed(
    """
    document currency, doc curr, doc currency, transaction currency, invoice currency, payment currency, ccy,
    currency code, curr, cur, crcy, iso currency, iso code, currency name, belegwährung, währung, währungsschlüssel,
    währungscode, währungskennung, währg, whg, wkz, wkz umsatz, isocode, devise, monnaie, code devise, moneda,
    divisa, código moneda, valuta, codice valuta, moeda, muntsoort, munteenheid, waluta, kod waluty, valuutta, měna,
    pénznem, deviza, monedă, mena, валюта, код валюты, para birimi,
    döviz, νόμισμα, 通貨, 币种, 貨幣, 통화, local currency,
    company code currency, hauswährung
    """
)
_AMOUNT = _listed(
    """
    invoice amount, payment amount, amount paid, paid amount, total amount, transaction amount, net amount, amount
    net, gross amount, amount gross, line amount, invoice value, payment value, net value, gross value, total value,
    value, net, gross, invoice total, total, sum, amt, amount in sterling, sterling amount, amount due, amount
    payable, amount of payment, spend, amount in document currency, amount in doc curr, amount in doc currency,
    amount in transaction currency, amount to pay, amount owed, balance due, open balance, outstanding amount,
    outstanding, debit amount, zahlbetrag, zahlungsbetrag, überweisungsbetrag, rechnungsbetrag, betrag,
    bruttobetrag, nettobetrag, gesamtbetrag, endbetrag, summe, umsatz, umsatz ohne soll haben kz, betrag
    belegwährung, brutto, betrag in belegwährung, netto, offener betrag, forderungsbetrag, montant, montant à
    régler, montant dû, reste à payer, solde dû, offener posten, rechnungssumme,
    zu zahlen, zahlung, montant ttc,
    montant à payer, montant total, montant facture, montant net, montant ht, net à payer, total ttc, total ht,
    somme, importe, importe total, importe factura, monto, cantidad, total factura, importe neto, valor, valor
    total, valor a pagar, valor nota, valor com iva, valor sem iva, total com iva, valor líquido, valor bruto,
    importe a pagar, importe
    bruto, base imponible, imponibile, totale documento, da pagare, factuurtotaal, do zapłaty, razem, att betala,
    montante, quantia, importo, importo totale, totale, totale fattura, ammontare,
    bedrag, factuurbedrag, totaalbedrag, te betalen, kwota, kwota brutto, kwota netto, kwota do zapłaty, wartość,
    belopp, summa,
    beløb, beløp, maksettava, částka, suma, összeg, sumă,
    tutar, ποσό, сумма, сума, сумма к оплате, итого, 金額, 支払金額,
    請求金額, 合計, 金额, 总金额, 금액,
    euro, euros, amount in local currency, local currency amount, betrag in hauswährung,
    betrag hauswährung, betrag hw
    """
)
_ANY_REFERENCE = _listed(
    """
    ref, ref no, reference no, reference number, request id, request no, request number, ticket, ticket id, ticket
    no, ticket number, case id, case no, case number, id, no, key, issue key, number, referenz, referenznummer,
    vorgangsnummer, vorgang, antragsnummer, ticketnummer, nummer, lfd no, laufende nummer, aktenzeichen, référence,
    réf, no demande, numéro demande, numéro, referencia, número, no solicitud, número solicitud, riferimento,
    numero, numero richiesta, referência, número pedido, referentie, kenmerk, numer, referens, referanse, reference
    id, номер, номер заявки, 番号, 編号, 编号
    """
)

FIRST_NAME = _listed(
    """
    first name, firstname, given name, given names, forename, fname, vorname, prénom, nombre, nombre pila, primer
    nombre, nome, primeiro nome, voornaam, imię, imie, förnamn, fornavn, etunimi, jméno, křestní jméno, keresztnév,
    prenume, ad, имя, 名, 名字
    """
)
LAST_NAME = _listed(
    """
    last name, lastname, surname, family name, lname, nachname, familienname, nom, nom famille, apellido, apellidos,
    primer apellido, cognome, sobrenome, apelido, último nome, achternaam, nazwisko, efternamn, etternavn,
    efternavn, sukunimi, příjmení, vezetéknév, nume, soyad, фамилия, 姓, 姓氏, name
    """
)
"""Headings of columns that hold a last name. A first name and a last name together make a full name.

`name` is the last entry, because a column `name` without a column for first names holds the full name.
"""

PAYMENT: Headings = {
    "reference": _listed(
        """
        invoice no, invoice number, invoice ref, invoice reference, invoice id, invoice, trans no, transaction no,
        transaction number, trans number, transaction id, trans id, transaction ref, transaction reference, trans
        ref, internal ref, internal reference, document no, document number, doc no, doc number, document ref,
        voucher no, voucher number, payment ref, payment reference, payment no, payment number, payment id, our ref,
        our reference, ref no, ref number, reference no, reference number, ref, unique reference, unique ref, unique
        reference number, urn, bill no, bill number, transaction, voucher, supplier invoice no, vendor invoice no,
        external document no, assignment, num, entry no, rechnungsnummer, rechnung, rechnung no, rg no, re no,
        belegnummer, beleg, belegfeld 1, vorgangsnummer, buchungsnummer, dokumentnummer, referenz, referenznummer,
        zahlungsreferenz, unser zeichen, aktenzeichen, no facture, numéro facture, facture no, facture, référence,
        référence facture, no pièce, numéro pièce, pièce, no document, réf, réf facture, no factura, número factura,
        num factura, factura no, factura, no documento, número documento, referencia, folio, comprobante, numero
        fattura, no fattura, n fattura, fattura, numero documento, riferimento, n documento, no fatura, número
        fatura, fatura, nota fiscal, número nota, referência, factuurnummer, factuur, factuur no, boekstuknummer,
        referentie, betalingskenmerk, kenmerk, nr faktury, numer faktury, faktura, numer dokumentu, fakturanummer,
        faktura no, fakturanr, bilagsnummer, verifikationsnummer, laskun numero, laskunumero, číslo faktury,
        variabilní symbol, számlaszám, számla sorszáma, număr factură, fatura no, номер счета, номер счёта, номер
        документа, номер, счет, номер накладной, номер платежа, 請求書番号, 請求番号,
        伝票番号, 管理番号, 发票号码, 发票号, 單號, 發票號碼, 송장번호,
        αριθμός τιμολογίου, αριθμός παραστατικού, номер заказа, číslo dokladu, factura n, doklad, piece ref,
        réf pièce, kundenreferenz, end to end reference, end to end id, kundenreferenz end to end,
        id
        """
    ),
    "payee": _listed(
        """
        payee name, supplier name, supplier, vendor name, vendor, beneficiary name, beneficiary, creditor name,
        creditor, merchant name, merchant, name of supplier, name of payee, supplier beneficiary, paid to, pay to,
        recipient name, recipient, payee supplier, contact name, contact, name 1, kreditorenname, lieferant,
        lieferantenname, name lieferant, kreditor, kreditorname, name kreditor, empfänger, empfängername, name
        empfänger, zahlungsempfänger, begünstigter, name begünstigter, name zahlungsbeteiligter, beguenstigter
        zahlungspflichtiger, geschäftspartner, auftraggeber empfänger, auftraggeber begünstigter, rechnungssteller,
        fournisseur, nom fournisseur, raison sociale, bénéficiaire, nom bénéficiaire, tiers, nom tiers, créancier,
        prestataire, proveedor, nombre proveedor, razón social, beneficiario, nombre beneficiario, acreedor,
        destinatario, fornitore, nome fornitore, ragione sociale, nome beneficiario, fornecedor, nome fornecedor,
        razão social, beneficiário, favorecido, credor, leverancier, naam leverancier, crediteur, begunstigde, naam
        begunstigde, naam tegenpartij, tegenpartij, dostawca, kontrahent, nazwa dostawcy, nazwa kontrahenta,
        odbiorca, leverantör, mottagare, leverandør, modtager, mottaker, toimittaja, saaja, dodavatel, příjemce,
        szállító, kedvezményezett, furnizor, tedarikçi, alıcı, προμηθευτής, поставщик, получатель, контрагент,
        libellé tiers, zahlungsempfänger in, name des
        zahlungsempfängers, empfänger name, intitulé tiers, nome do fornecedor, nome credor, denominazione,
        denominazione
        fornitore, наименование получателя, наименование контрагента, имя получателя, προμηθευτής επωνυμία, επωνυμία,
        наименование поставщика, постачальник, 支払先, 取引先, 取引先名, 仕入先,
        供应商, 供应商名称, 收款人, 供應商, 공급업체, company name,
        company, firm, firma, firmenname, société, empresa, azienda, bedrijf, name, nom, nombre, nome, naam, nazwa,
        namn, navn, наименование
        """
    ),
    "amount": _AMOUNT,
    "currency": _CURRENCY,
    "account": _listed(
        """
        from account, pay from, paying account, ledger account, zahlungskonto, belastungskonto
        """
    ),
    # The date of a payment or an invoice is not its due date.
    "due_date": _DUE,
    "memo": _listed(
        """
        description, narrative, details, detail, purpose, note, notes, comment, comments, invoice description,
        payment description, purpose of payment, transaction description, memo description, text, line description,
        remittance information, verwendungszweck, buchungstext, zahlungsgrund, beschreibung, betreff, zweck,
        bemerkung, notiz, libellé, motif, objet, désignation, communication, concepto, descripción, detalle, motivo,
        glosa, causale, descrizione, oggetto, descrição, histórico, finalidade, omschrijving, mededeling, opis,
        tytułem, tytuł przelewu, beskrivning, beskrivelse, meddelelse, selite, viesti, popis, megjegyzés, közlemény,
        descriere, açıklama, περιγραφή, назначение платежа, описание, комментарий, примечание, 摘要, 備考, 备注, 적요
        """
    ),
    "payee_account": _listed(
        """
        iban, payee iban, supplier iban, beneficiary iban, payees account, bank account, beneficiary account,
        supplier account, iban no, iban lieferant, iban empfänger, bankverbindung, kontonummer iban, iban
        bénéficiaire, iban fournisseur, compte bancaire, cuenta bancaria, iban proveedor, iban beneficiario, cuenta
        beneficiario, conto corrente, conta bancária, rekeningnummer, iban begunstigde, rachunek bankowy, numer
        rachunku, bankkonto, 口座番号
        """
    ),
}
ONBOARDING: Headings = {
    "reference": _listed(
        """
        employee id, employee no, employee number, emp id, emp no, staff id, staff no, staff number, personnel no,
        personnel number, person id, worker id, payroll no, payroll number, payroll id, hr id, associate id, user
        id, employee, ticket, request id, request no, id, no, ref, personalnummer, personal no, mitarbeiternummer,
        mitarbeiter id, pers no, stammnummer, matricule, no matricule, numéro matricule, numéro salarié, id salarié,
        id employé, numéro employé, no empleado, número empleado, id empleado, legajo, código empleado, matricola,
        id dipendente, numero dipendente, matrícula, número funcionário, personeelsnummer, medewerkernummer, numer
        pracownika, id pracownika, anställningsnummer, medarbejdernummer, ansattnummer, henkilönumero, osobní číslo,
        törzsszám, табельный номер, 社員番号, 従業員番号, 员工编号, 工号
        """
    ),
    "full_name": _listed(
        """
        full name, name, employee name, display name, preferred name, new hire, new starter, person, worker, worker
        name, staff name, candidate, candidate name, colleague, name of employee, vollständiger name, mitarbeiter,
        mitarbeitername, name mitarbeiter, vor und nachname, vorname nachname, name vorname, nom complet, nom
        prénom, prénom nom, nom et prénom, salarié, employé, collaborateur, nombre completo, nombre y apellidos,
        nombre apellidos, empleado, trabajador, nome completo, nome e cognome, nominativo, dipendente, funcionário,
        colaborador, volledige naam, naam, medewerker, imię i nazwisko, pracownik, namn, navn, nimi, jméno, név,
        nume, ad soyad, фио, сотрудник, имя и фамилия, 氏名, 名前, 姓名, 이름, nom, nombre, nome
        """
    ),
    "username": _listed(
        """
        user name, login, login name, account name, user, sam account name, network id, upn, benutzername, benutzer,
        benutzerkennung, anmeldename, kürzel, nom utilisateur, identifiant, usuario, nombre usuario, nome utente,
        utente, nome usuário, gebruikersnaam, nazwa użytkownika, användarnamn, brugernavn, brukernavn, логин, имя
        пользователя, ユーザー名, 用户名
        """
    ),
    "role": _listed(
        """
        job role, access role, role name, access profile, profile, rolle, rôle, profil, rol, perfil, ruolo, profilo,
        função, papel, rola, roll, роль, 役割, 角色
        """
    ),
    "manager": _listed(
        """
        manager id, line manager, line manager id, supervisor, supervisor id, reports to, boss, manager username,
        vorgesetzter, vorgesetzte, führungskraft, manager kennung, responsable, supérieur, supérieur hiérarchique, n
        1, jefe, gerente, supervisora, responsabile, gestor, leidinggevende, przełożony, chef, leder, esimies,
        nadřízený, руководитель, 上司, 经理
        """
    ),
    "email": _listed(
        """
        e mail, email address, e mail address, mail, mail address, work email, work e mail, business email, company
        email, office email, primary email, e mail adresse, mailadresse, dienstliche e mail, e mail geschäftlich,
        courriel, adresse e mail, adresse mail, adresse courriel, email professionnel, correo, correo electrónico,
        correo trabajo, e mail aziendale, posta elettronica, indirizzo email, e mail profissional, correio
        eletrônico, e mailadres, adres e mail, e post, sähköposti,
        e posta, электронная почта, почта, メールアドレス, 邮箱,
        电子邮件, 이메일
        """
    ),
    "start_date": _listed(
        """
        start, start date, first day, date of joining, joining date, join date, hire date, date hired, date of hire,
        employment start, commencement date, starts on, eintritt, eintrittsdatum, eintritt am, eintrittstermin,
        startdatum, beginn, arbeitsbeginn, erster arbeitstag, einstelldatum, einstellungsdatum, date embauche, date
        entrée, date début, date arrivée, date prise poste, fecha alta, fecha ingreso, fecha inicio, fecha
        contratación, fecha incorporación, data assunzione, data inizio, data admissão, data início, datum indienst,
        datum in dienst, data zatrudnienia, data rozpoczęcia, anställningsdatum, startdato, ansættelsesdato,
        aloituspäivä, datum nástupu, belépés dátuma, дата приема, дата начала, 入社日, 开始日期, 入职日期
        """
    ),
    "note": _NOTE,
}
APPROVAL: Headings = {
    "reference": _ANY_REFERENCE,
    "title": _listed(
        """
        subject, question, summary, request, topic, name, what, headline, betreff, titel, frage, thema, antrag,
        anfrage, titre, objet, sujet, demande, título, asunto, tema, pregunta, solicitud, titolo, oggetto,
        richiesta, assunto, pedido, onderwerp, aanvraag, vraag, tytuł, temat, wniosek, rubrik, ämne, emne, otsikko,
        заголовок, тема, запрос, 件名, 标题
        """
    ),
    "body": _listed(
        """
        description, details, text, message, background, justification, reason, body text, beschreibung, begründung,
        details zum antrag, erläuterung, description demande, justificatif, détails, motif, descripción,
        justificación, detalles, motivo, descrizione, motivazione, descrição, justificativa, omschrijving,
        toelichting, opis, uzasadnienie, beskrivning, beskrivelse, kuvaus, описание, обоснование, 内容, 説明, 描述
        """
    ),
    "payload": ("data", "json"),
    "candidates": _listed(
        """
        approvers, approver, approval group, approved by, reviewers, reviewer, assignees, assignee, genehmiger,
        freigeber, entscheider, prüfer, approbateur, approbateurs, valideur, valideurs, aprobador, aprobadores,
        autorizador, approvatore, approvatori, aprovador, aprovadores, goedkeurder, goedkeurders, akceptujący,
        godkännare, godkender, согласующий, 承認者, 审批人
        """
    ),
    "deadline": _listed(
        """
        due, due date, decide by, answer by, respond by, needed by, frist, fällig am, fälligkeit, bis wann, termin,
        échéance, date limite, délai, plazo, fecha límite, vencimiento, scadenza, termine, prazo, data limite,
        uiterste datum, deadline datum, termin decyzji, срок, 期限, 截止日期
        """
    ),
}
DEPLOYMENT: Headings = {
    "reference": ("release", "release id", "change", "change id", "change no", "deployment id", *_ANY_REFERENCE),
    "app": _listed(
        """
        application, app name, application name, service, service name, system, component, product, anwendung,
        anwendungsname, dienst, komponente, applikation, application nom, composant, aplicación, nombre aplicación,
        servicio, applicazione, servizio, aplicação, applicatie, aplikacja, usługa, приложение, сервис, アプリ, 应用
        """
    ),
    "artefact": _listed(
        """
        artifact, archive, package, build, file, artefakt, paket, archiv, artefacto, paquete
        """
    ),
    "sha256": _listed(
        """
        sha 256, checksum, hash, digest, prüfsumme, somme contrôle, suma comprobación
        """
    ),
    "version": _listed(
        """
        release version, version no, versionsnummer, versión, versione, versão, versie, wersja
        """
    ),
    "security_review": ("scan", "security scan", "sicherheitsprüfung", "revue sécurité", "revisión seguridad"),
    "note": _NOTE,
}
DATA_IMPORT: Headings = {
    "reference": ("import", "import id", "load id", "job id", *_ANY_REFERENCE),
    "dataset": _listed(
        """
        data set, table, table name, dataset name, datensatz, tabelle, datenbestand, jeu données, table cible,
        conjunto datos, tabla, tabella, tabela, zbiór danych, набор данных
        """
    ),
    "file": _listed(
        """
        file name, filename, path, datei, dateiname, fichier, nom fichier, archivo, nome file
        """
    ),
    "schema_file": ("schema", "schema file", "schemadatei", "schéma", "esquema"),
    "note": _NOTE,
}
SECURITY_REVIEW: Headings = {
    "reference": ("review", "review id", "scan id", "audit id", *_ANY_REFERENCE),
    "target": _listed(
        """
        path, folder, archive, repository, project, code, ziel, ordner, projekt, verzeichnis, cible, dossier, dépôt,
        projet, objetivo, carpeta, proyecto, cartella, progetto, cel
        """
    ),
    "sha256": DEPLOYMENT["sha256"],
    "accept_for_days": ("days", "accept for", "tage", "jours", "días"),
    "note": _NOTE,
}

GENERAL: Headings = {
    "reference": _ANY_REFERENCE,
    "amount": _AMOUNT,
    "currency": _CURRENCY,
    "due_date": _DUE,
    "note": _NOTE,
    "memo": PAYMENT["memo"],
    "description": _listed(
        """
        details, text, beschreibung, libellé, descripción, descrizione, omschrijving, opis
        """
    ),
    "payee": PAYMENT["payee"],
    "supplier": PAYMENT["payee"],
    "iban": PAYMENT["payee_account"],
    "full_name": ONBOARDING["full_name"],
    "name": _listed(
        """
        full name, title, bezeichnung, nom, nombre, nome, naam, nazwa, namn, navn, наименование
        """
    ),
    "first_name": FIRST_NAME,
    "last_name": LAST_NAME[:-1],
    "username": ONBOARDING["username"],
    "email": ONBOARDING["email"],
    "manager": ONBOARDING["manager"],
    "start_date": ONBOARDING["start_date"],
    "title": APPROVAL["title"],
    "deadline": APPROVAL["deadline"],
    "priority": _listed(
        """
        prio, priorität, dringlichkeit, urgency, priorité, prioridad, priorità, prioridade, prioriteit
        """
    ),
}
"""Headings for the fields of all processes that have no headings of their own in this module."""
