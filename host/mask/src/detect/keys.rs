//! What the name of a column, a JSON key or an XML tag says of its values.

use hashbrown::HashMap;

use super::Kind;

/// How much a name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// Its values are of the kind.
    Sure(Kind),
    /// Its values are names if they look like names.
    Name,
}

/// All that is known of names.
pub(super) struct Keys(HashMap<&'static [u8], Key>);

impl Keys {
    pub(super) fn new() -> Self {
        let mut keys: HashMap<&'static [u8], Key> = HashMap::default();
        for (kind, names) in KEYS {
            keys.extend(names.split_ascii_whitespace().map(|name| (name.as_bytes(), Key::Sure(*kind))));
        }
        keys.extend(NAMES.split_ascii_whitespace().map(|name| (name.as_bytes(), Key::Name)));
        Self(keys)
    }

    /// Reads a name in any convention: `firstName`, `FIRST_NAME`, `first name`.
    pub(super) fn classify(&self, name: &[u8]) -> Option<Key> {
        let mut buffer = [0; 40];
        let mut length = 0;
        for byte in name.iter().filter(|byte| byte.is_ascii_alphanumeric()) {
            *buffer.get_mut(length)? = byte.to_ascii_lowercase();
            length += 1;
        }
        let name = buffer.get(..length)?;
        let known = self.0.get(name).copied();
        known.or_else(|| {
            let may_start = |prefix: &&&str| prefix.as_bytes().first() == name.first();
            let prefixes = PREFIXES.iter().filter(may_start);
            prefixes.into_iter().find_map(|prefix| self.0.get(name.strip_prefix(prefix.as_bytes())?).copied())
        })
    }
}

/// Whose it is does not change what it is.
const PREFIXES: &[&str] = &[
    "patient",
    "pt",
    "member",
    "subscriber",
    "guarantor",
    "emergencycontact",
    "contact",
    "home",
    "work",
    "primary",
    "secondary",
    "mailing",
    "billing",
    "person",
    "client",
    "resident",
    "insured",
    "provider",
    "physician",
    "doctor",
    "attending",
    "referring",
    "spouse",
    "parent",
    "kin",
    "nok",
    "employer",
    "customer",
    "user",
    "caller",
    "owner",
    "mothers",
    "fathers",
    "current",
    "permanent",
    "residential",
    "legal",
    "preferred",
    "rendering",
    "ordering",
    "dx",
    "beneficiary",
    "policyholder",
    "responsibleparty",
    "guardian",
    "caregiver",
    "participant",
    "subject",
    "sub",
];

/// Names whose values may be names of persons or anything else.
const NAMES: &str = "name patient provider physician attending doctor guarantor subscriber spouse contact nurse surgeon \
    caregiver employee author caller signedby performer display holder member client resident participant \
    user owner";

const KEYS: &[(Kind, &str)] = &[
    (
        Kind::Name,
        "fullname firstname lastname middlename fname lname mname givenname familyname surname maidenname legalname \
         preferredname nickname alias patientname ptname ptnm nm given family maiden mothersmaidenname nextofkin \
         firstnm lastnm namefirst namelast namefull middleinitial patname forename last first middle nametext \
         contactname doctorname physicianname providername guarantorname subscribername insuredname employeename",
    ),
    (
        Kind::Street,
        "address addr address1 address2 addr1 addr2 addressline addressline1 addressline2 line1 line2 street street1 \
         street2 streetaddress streetname homeaddress mailingaddress streetaddress1 streetline addrline1 addrline2 \
         addressstreet residence",
    ),
    (Kind::City, "city town municipality locality birthplace cityname village hometown placeofbirth addresscity"),
    (Kind::County, "county parish countyname district"),
    (Kind::Zip, "zip zipcode postal postalcode postcode zip5 zip4 zip9 addresszip zipplus4"),
    (Kind::Geo, "lat latitude lon lng longitude latlon latlng coordinates coords geopoint gps geo"),
    (
        Kind::Date,
        "dob birthdate dateofbirth birthday bday bdt birthtime birthdt dobdt deceaseddate dod deathdate dateofdeath \
         admit admitdate admissiondate admitted admitdt discharge dischargedate discharged dischdt servicedate dos \
         dateofservice visitdate encounterdate admdate dischdate startdate enddate collectiondate resultdate \
         examdate proceduredate surgerydate deceased appointmentdate apptdate deceaseddatetime effectivedatetime \
         charttime admittime dischtime onsetdate orderdate",
    ),
    (
        Kind::Phone,
        "phone phonenumber phoneno telephone tel mobile cell cellphone homephone workphone callback contactnumber \
         pager sms phone1 phone2 homeph workph cellno mobileno mobilephone phonehome phonework telecom altphone ph \
         dayphone eveningphone mobilenumber telephonenumber",
    ),
    (Kind::Fax, "fax faxno faxnumber faxnum"),
    (Kind::Email, "email mail emailaddress upn emailaddr eml mailto"),
    (
        Kind::Ssn,
        "ssn ssno ssnumber social socialsecurity socialsecuritynumber socialsecurityno tin taxid itin nationalid \
         ssnlast4 last4ssn socsecno ssnitin ssnum",
    ),
    (
        Kind::Mrn,
        "mrn medicalrecord medicalrecordno medicalrecordnumber medrecno medrec chartno chartnumber patientid ptid \
         patientidentifier hrn subjectid hadmid patientnumber patientno hospitalnumber hospitalno unitnumber \
         recordnumber recordno emrid ehrid mrno medicalrecordnum mrnumber mpi empi personid",
    ),
    (
        Kind::HealthPlan,
        "memberid membernumber memberno subscriberid subscriberno policyno policynumber policyid mbi hicn medicaidid \
         medicareid medicareno medicaidno beneficiary beneficiaryid insuranceid insuredid planid healthplanid \
         healthplannumber insuranceno insurancenumber policy hic rxid memid insuranceidnumber",
    ),
    (
        Kind::Account,
        "account accountno acct acctno accountnumber acctnum har guarantorid iban routing routingnumber card \
         cardnumber cardno pan creditcard ccnum ccnumber bankaccount acctnumber accountid accountnum routingno aba",
    ),
    (
        Kind::License,
        "license licenseno licensenumber dl dlno driverslicense driverlicense dea npi deanumber deano certno \
         certificateno upin licence npinumber npino drlicense dlnumber licenseid driverslicensenumber certificatenumber",
    ),
    (Kind::Vehicle, "vin plate licenseplate plateno platenumber tagno vehicleid vehiclevin vehicleplate"),
    (
        Kind::Device,
        "udi serial serialno serialnumber deviceid deviceserial imei mac macaddress macaddr deviceidentifier \
         deviceserialnumber implantserial meid hwaddr deviceudi sn",
    ),
    (Kind::Url, "url link portal avatarurl website href homepage profileurl portalurl"),
    (Kind::Ip, "ip ipaddr ipaddress clientip remoteaddr xforwardedfor sourceip srcip ipv4 ipv6 remoteip"),
    (
        Kind::Biometric,
        "fingerprint voiceprint retina iris irisscan faceembedding biometric palmprint faceid fingerprinthash \
         retinascan biometrictemplate fingerprinttemplate facetemplate",
    ),
    (Kind::Photo, "photo image avatar facephoto photourl picture headshot portrait profilephoto imageurl facephotourl"),
    (
        Kind::OtherId,
        "uuid guid passport passportno passportnumber accession accessionno accessionnumber specimenid caseno \
         casenumber caseid studyid session sessionid cookie username userid encounterid visitid visitnumber \
         claimid claimno claimnumber confirmationnumber badge badgeno employeeid voterid csn visitno encounterno \
         encounternumber specimenno loginid subjectno accno",
    ),
    (Kind::Age90, "age ageyears ageyrs ageatvisit ageatadmission"),
];

/// Whether a value may be what its key says: a label over nothing, a code or a flag is no identifier.
pub(super) fn fits(kind: Kind, value: &[u8]) -> bool {
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = value.iter().filter(|byte| byte.is_ascii_alphabetic() || **byte == super::shadow::LETTER).count();
    let null = [b"null".as_slice(), b"none", b"unknown", b"n/a", b"na", b"true", b"false", b"nil", b"yes", b"no"];
    if value.is_empty() || value.len() > 400 || null.iter().any(|word| word.eq_ignore_ascii_case(value)) {
        return false;
    }
    match kind {
        Kind::Name => letters >= 2 && digits <= 1 && value.len() <= 80,
        Kind::City | Kind::County => letters >= 3 && digits == 0 && value.len() <= 60,
        Kind::Street => letters >= 2 && value.len() >= 5,
        Kind::Zip => matches!(digits, 5 | 9) && letters == 0,
        Kind::Geo => digits >= 4 && value.contains(&b'.'),
        // A year alone may stay.
        Kind::Date => digits > 4 || digits >= 2 && letters >= 3,
        Kind::Phone | Kind::Fax => digits >= 7,
        Kind::Ssn => digits >= 4,
        Kind::Email => value.contains(&b'@'),
        Kind::Age90 => letters == 0 && matches!(super::check::number(value), 90..=125) && digits == value.len(),
        Kind::Url | Kind::Photo | Kind::Biometric => value.len() >= 6,
        Kind::Ip => digits >= 4 || value.contains(&b':'),
        _ => digits >= 3 && value.len() >= 4,
    }
}
