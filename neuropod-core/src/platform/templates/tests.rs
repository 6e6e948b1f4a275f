use super::*;
use crate::id::UserId;
use crate::scene::Scene;
use crate::user::{Role, User};

fn draft(name: &str) -> TemplateDraft {
    TemplateDraft {
        name: name.to_owned(),
        image: "ubuntu:22.04".to_owned(),
        http_ports: vec![(8080, "Web".to_owned())],
        ..TemplateDraft::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_belongs_to_one_template_until_it_is_given_up() {
    let scene = Scene::new().await;
    let (platform, admin) = (&scene.platform, Identity::local());
    let create = async |name| platform.create_template(&admin, &draft(name)).await;
    let one = create("One").await.unwrap();
    let taken = create(" One ").await.unwrap_err();
    assert_eq!(taken.fields()[0].pointer, "/name");
    let two = create("Two").await.unwrap();
    let update = async |version, name| {
        platform
            .update_template(&admin, two.id, version, &draft(name))
            .await
    };
    assert_eq!(
        update(1, "One").await.unwrap_err().fields()[0].pointer,
        "/name"
    );
    assert_eq!(update(1, "Three").await.unwrap().0, 2);
    let late = update(1, "Four").await.unwrap_err();
    assert_eq!(*late.kind(), ErrorKind::Conflict);
    assert_eq!(platform.template(two.id).await.unwrap().name, "Three");
    create("Two").await.unwrap();
    platform.delete_template(&admin, one.id).await.unwrap();
    let gone = platform.template(one.id).await.unwrap_err();
    assert_eq!(*gone.kind(), ErrorKind::NotFound);
    create("One").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_makes_one_template() {
    let scene = Scene::new().await;
    let (platform, admin) = (&scene.platform, Identity::local());
    let receipt = Receipt::new(admin.user.id, "one", "create").unwrap();
    let create = async |name: &str| {
        let draft = draft(name);
        let made = platform.create_template_once(&admin, &draft, &receipt);
        made.await.unwrap()
    };
    let first = create("One").await;
    let second = create("One").await;
    assert_eq!((first.replayed, second.replayed), (false, true));
    assert_eq!(first.outcome, second.outcome);
    assert_eq!(platform.templates().await.unwrap().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn who_made_one_may_change_it_and_a_stranger_may_not() {
    let scene = Scene::new().await;
    let core = scene.core();
    let client = |n| Identity {
        user: User {
            id: UserId::from_bytes([n; 12]),
            role: Role::Client,
            ..Identity::local().user
        },
        session: None,
    };
    let (maker, stranger) = (client(1), client(2));
    let mut template = scene.platform.templates().await.unwrap().remove(0);
    (template.id, template.created_by) = (TemplateId::from_bytes([5; 12]), Some(maker.user.id));
    let document = put(TEMPLATE, template.id, 0, &template).unwrap();
    write(core, vec![document], &template).await.unwrap();
    // The scene's own sign-in allows everything.
    let platform = Platform::builder()
        .store(scene.store.clone())
        .auth(Owners)
        .build()
        .await
        .unwrap();
    let update = async |who: &Identity, id| {
        let refused = platform.update_template(who, id, 1, &draft("New")).await;
        refused.map(|_| ()).map_err(|e| e.kind().clone())
    };
    assert_eq!(
        update(&stranger, template.id).await,
        Err(ErrorKind::Forbidden)
    );
    let refused = platform.delete_template(&stranger, template.id).await;
    assert_eq!(*refused.unwrap_err().kind(), ErrorKind::Forbidden);
    let refused = platform.create_template(&maker, &draft("Other")).await;
    assert_eq!(*refused.unwrap_err().kind(), ErrorKind::Forbidden);
    assert_eq!(update(&maker, template.id).await, Ok(()));
    let seed = platform.templates().await.unwrap().pop().unwrap();
    assert_eq!(update(&maker, seed.id).await, Err(ErrorKind::Forbidden));
}

/// Owners and administrators.
#[derive(Debug)]
struct Owners;

#[async_trait::async_trait]
impl crate::Auth for Owners {
    async fn authenticate(&self, _: &crate::auth::Credential) -> Result<Identity> {
        Ok(Identity::local())
    }
}
